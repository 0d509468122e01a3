// Device and page-locked memory, in a table: a copy beyond an allocation, a second free and a use after it are noticed.
#include "standin.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

// Addresses are never given twice: what is freed stays reserved, without memory behind it and closed to the host.
struct block {
    unsigned long long base;
    size_t bytes, mapped;
    unsigned flags;
    enum { DEVICE, HOST, REGISTERED } kind;
    bool live;
    struct block *next;
};
static struct block *blocks;

static struct block *find(unsigned long long address) {
    struct block *found = NULL;
    for (struct block *block = blocks; block; block = block->next)
        if (address >= block->base && address - block->base < (block->mapped ? block->mapped : block->bytes)) {
            if (block->live) return block;
            found = found ? found : block;
        }
    return found;
}

static CUresult allocate(size_t bytes, int kind, unsigned flags, unsigned long long *address) {
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    size_t free_bytes, total;
    if (kind == DEVICE && (cuMemGetInfo(&free_bytes, &total) || bytes > free_bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
    struct block *block = calloc(1, sizeof *block);
    block->mapped = (bytes + 4095) & ~(size_t)4095;
    void *place = mmap(NULL, block->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) return free(block), CUDA_ERROR_OUT_OF_MEMORY;
    memset(place, 0xA5, block->mapped < 1 << 20 ? block->mapped : 1 << 20);  // what nobody wrote is no zero
    block->base = (unsigned long long)place | (kind == DEVICE ? DEVICE_BIT : 0);
    block->bytes = bytes, block->kind = kind, block->flags = flags, block->live = true;
    *address = block->base;
    pthread_mutex_lock(&standin_lock);
    block->next = blocks, blocks = block;
    pthread_mutex_unlock(&standin_lock);
    standin_add(kind == DEVICE ? device_allocations : page_locked, 1);
    if (kind == DEVICE) standin_add(device_bytes, (long)bytes);
    return CUDA_SUCCESS;
}

static CUresult release(unsigned long long address, int kind) {
    pthread_mutex_lock(&standin_lock);
    struct block *block = find(address);
    bool fits = block && block->base == address && block->live && (int)block->kind == kind;
    bool twice = block && block->base == address && !block->live;
    if (fits) block->live = false;
    pthread_mutex_unlock(&standin_lock);
    if (!fits) {
        standin_violation("%s of %#llx", twice ? "second free" : "free of what was never allocated,", address);
        return CUDA_ERROR_INVALID_VALUE;
    }
    standin_add(kind == DEVICE ? device_allocations : page_locked, -1);
    if (kind == DEVICE) standin_add(device_bytes, -(long)block->bytes);
    if (kind != REGISTERED)  // the address stays taken
        mmap((void *)(block->base & ~DEVICE_BIT), block->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return CUDA_SUCCESS;
}

bool standin_is_pageable(unsigned long long address) {
    pthread_mutex_lock(&standin_lock);
    struct block *block = address & DEVICE_BIT ? NULL : find(address);
    pthread_mutex_unlock(&standin_lock);
    return !(address & DEVICE_BIT) && !block;
}

// Where the bytes of a device or host pointer lie for us; false, and a violation, if they are not all there.
bool standin_resolve(unsigned long long address, size_t bytes, char **place, const char *what) {
    pthread_mutex_lock(&standin_lock);
    struct block *block = find(address);
    bool known = block != NULL, live = block && block->live;
    size_t size = live ? block->bytes - (size_t)(address - block->base) : 0;
    bool inside = live && address - block->base <= block->bytes && bytes <= size;
    pthread_mutex_unlock(&standin_lock);
    *place = (char *)(address & ~DEVICE_BIT);
    if (!known && !(address & DEVICE_BIT)) return true;  // pageable memory, of which we know nothing
    if (!inside)
        standin_violation("%s of %zu bytes at %#llx: %s", what, bytes, address,
                          !known ? "no allocation" : !live ? "it was freed" : "beyond its allocation");
    return inside;
}

CUresult cuMemAlloc(CUdeviceptr *pointer, size_t bytes) {
    ENTER(CONTEXT | WORK | UNSAFE);
    return allocate(bytes, DEVICE, 0, pointer);
}

CUresult cuMemFree(CUdeviceptr pointer) {
    ENTER(CONTEXT | UNSAFE);
    standin_finish_all(false);
    return release(pointer, DEVICE);
}

CUresult cuMemHostAlloc(void **pointer, size_t bytes, unsigned int flags) {
    ENTER(CONTEXT | WORK | UNSAFE);
    return allocate(bytes, HOST, flags, (unsigned long long *)pointer);
}

CUresult cuMemFreeHost(void *pointer) {
    ENTER(CONTEXT | UNSAFE);
    standin_finish_all(false);
    return release((unsigned long long)pointer, HOST);
}

CUresult cuMemHostRegister(void *pointer, size_t bytes, unsigned int flags) {
    ENTER(CONTEXT | WORK | UNSAFE);
    struct block *block = calloc(1, sizeof *block);
    *block = (struct block){(unsigned long long)pointer, bytes, 0, flags, REGISTERED, true, NULL};
    pthread_mutex_lock(&standin_lock);
    block->next = blocks, blocks = block;
    pthread_mutex_unlock(&standin_lock);
    standin_add(page_locked, 1);
    return CUDA_SUCCESS;
}

CUresult cuMemHostUnregister(void *pointer) {
    ENTER(CONTEXT | UNSAFE);
    return release((unsigned long long)pointer, REGISTERED);
}

CUresult cuMemHostGetDevicePointer(CUdeviceptr *device, void *pointer, unsigned int flags) {
    ENTER(CONTEXT | WORK);
    pthread_mutex_lock(&standin_lock);
    struct block *block = find((unsigned long long)pointer);
    bool mapped = !flags && block && block->live && block->kind != DEVICE && block->flags & CU_MEMHOSTALLOC_DEVICEMAP;
    pthread_mutex_unlock(&standin_lock);
    if (!mapped) return CUDA_ERROR_INVALID_VALUE;
    *device = (CUdeviceptr)pointer;  // unified addressing: one address for both
    return CUDA_SUCCESS;
}

CUresult cuMemHostGetFlags(unsigned int *flags, void *pointer) {
    ENTER(CONTEXT);
    pthread_mutex_lock(&standin_lock);
    struct block *block = find((unsigned long long)pointer);
    bool known = block && block->live;
    if (known) *flags = block->flags;
    pthread_mutex_unlock(&standin_lock);
    return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// --- copies ------------------------------------------------------------------------------------------------------------
static CUresult copy(unsigned long long to, unsigned long long from, size_t bytes) {
    CUresult waits = standin_default_stream();
    if (waits) return waits;
    char *target, *source;
    if (!standin_resolve(to, bytes, &target, "copy to") || !standin_resolve(from, bytes, &source, "copy from"))
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(target, source, bytes);
    return standin_dead();
}

CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t bytes) {
    ENTER(CONTEXT | WORK | UNSAFE);
    return copy(to, (unsigned long long)from, bytes);
}

CUresult cuMemcpyDtoH(void *to, CUdeviceptr from, size_t bytes) {
    ENTER(CONTEXT | WORK | UNSAFE);
    return copy((unsigned long long)to, from, bytes);
}

CUresult cuMemcpyDtoD(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    ENTER(CONTEXT | WORK | UNSAFE);
    return copy(to, from, bytes);
}

CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    ENTER(CONTEXT | WORK);
    return standin_copy_async(to, (unsigned long long)from, bytes, stream);
}

CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    ENTER(CONTEXT | WORK);
    return standin_copy_async((unsigned long long)to, from, bytes, stream);
}

CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    ENTER(CONTEXT | WORK);
    return standin_copy_async(to, from, bytes, stream);
}

CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    ENTER(CONTEXT | WORK);
    return standin_copy_async(to, from, bytes, stream);
}

CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
    ENTER(CONTEXT | WORK);
    return standin_set_async(to, value, bytes, stream);
}

CUresult cuMemsetD8(CUdeviceptr to, unsigned char value, size_t bytes) {
    ENTER(CONTEXT | WORK);
    return standin_set_async(to, value, bytes, NULL);
}
