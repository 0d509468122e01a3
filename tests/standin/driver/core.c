// Initialisation, the device, contexts, faults to order, counters and the report at exit.
#include "standin.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

pthread_mutex_t standin_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_long amounts[counters];
static atomic_int dead_code;
static bool dead_everywhere;
static atomic_bool initialised, forked, ended;
static int retained;
static const char *const names[] = {
#define NAME(name) #name,
    COUNTERS(NAME)
#undef NAME
};

// --- counters ----------------------------------------------------------------------------------------------------------
void standin_add(enum counter what, long by) { atomic_fetch_add(&amounts[what], by); }

long standin_count(const char *name) {
    for (int i = 0; i < counters; i++)
        if (!strcmp(names[i], name)) return atomic_load(&amounts[i]);
    return -1;
}

void standin_forgive(void) { atomic_store(&amounts[violations], 0); }  // for tests of this driver itself

static void say(const char *line) {
    const char *file = getenv("STANDIN_REPORT");
    FILE *out = file ? fopen(file, "a") : stderr;
    if (!out) return;
    fprintf(out, "%s\n", line);
    if (out != stderr) fclose(out);
}

void standin_violation(const char *format, ...) {
    char text[256], line[320];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    standin_add(violations, 1);
    snprintf(line, sizeof line, "{\"pid\": %d, \"violation\": \"%s\"}", (int)getpid(), text);
    say(line);
}

static long left_over(void) {
    long sum = 0;
    for (int i = 0; i < contexts; i++) sum += atomic_load(&amounts[i]);
    return sum + atomic_load(&amounts[violations]) + atomic_load(&amounts[threads_ended_with_context]);
}

__attribute__((destructor)) static void report(void) {
    char line[1024];
    int used = snprintf(line, sizeof line, "{\"pid\": %d, \"at_exit\": true", (int)getpid());
    for (int i = 0; i < counters; i++)
        used += snprintf(line + used, sizeof line - used, ", \"%s\": %ld", names[i], atomic_load(&amounts[i]));
    snprintf(line + used, sizeof line - used, ", \"dead\": %d, \"forked\": %s}", standin_dead(), forked ? "true" : "false");
    if (initialised && (getenv("STANDIN_REPORT") || left_over())) say(line);
    ended = true;
}

// --- faults to order ------------------------------------------------------------------------------------------------
enum { FAULTS = 16 };
static struct fault {
    char function[64];
    long in;  // calls until it happens
    int code, sticky;
} faults[FAULTS];
static int armed;

// The nth call from now of this function ("*": of any that does work) returns the code. sticky: 1, from then on every
// call that needs the context does, as after an illegal address on a real GPU; 2, pushing and popping contexts, too.
int standin_fail(const char *function, long nth, int code, int sticky) {
    pthread_mutex_lock(&standin_lock);
    bool room = armed < FAULTS && nth > 0;
    if (room) {
        struct fault *fault = &faults[armed++];
        snprintf(fault->function, sizeof fault->function, "%s", function);
        fault->in = nth, fault->code = code, fault->sticky = sticky;
    }
    pthread_mutex_unlock(&standin_lock);
    return room ? 0 : 1;
}

void standin_disarm(void) {
    pthread_mutex_lock(&standin_lock);
    armed = 0;
    pthread_mutex_unlock(&standin_lock);
}

// STANDIN_FAIL="cuMemAlloc_v2:3:2, *:40:700:1": function, which call, code, sticky.
__attribute__((constructor)) static void arm_by_environment(void) {
    const char *text = getenv("STANDIN_FAIL");
    for (; text && *text; text = strchr(text, ',') ? strchr(text, ',') + 1 : "") {
        char function[64];
        long nth;
        int code, sticky = 0;
        if (sscanf(text, " %63[^:]:%ld:%d:%d", function, &nth, &code, &sticky) >= 3) standin_fail(function, nth, code, sticky);
    }
}

static CUresult due(const char *function, int kind) {
    CUresult code = CUDA_SUCCESS;
    pthread_mutex_lock(&standin_lock);
    for (int i = 0; i < armed; i++) {
        struct fault *fault = &faults[i];
        bool meant = fault->function[0] == '*' ? (kind & WORK) != 0 : !strcmp(fault->function, function);
        if (!meant || fault->in <= 0 || --fault->in) continue;
        code = fault->code;
        dead_everywhere = fault->sticky == 2;
        if (fault->sticky) standin_die(code);
    }
    pthread_mutex_unlock(&standin_lock);
    return code;
}

void standin_die(CUresult code) {
    int alive = 0;
    atomic_compare_exchange_strong(&dead_code, &alive, code);
}

void standin_kernel_failed(void) { standin_die(CUDA_ERROR_LAUNCH_FAILED); }

CUresult standin_dead(void) { return atomic_load(&dead_code); }

// --- contexts --------------------------------------------------------------------------------------------------------
static char primary[1];
enum { DEPTH = 64 };
static __thread CUcontext stack[DEPTH];
static __thread int depth;
static pthread_key_t at_thread_end;

static __thread bool by_runtime;  // the lowest one is what CUDA's runtime made current, and may stay

static void thread_ended(void *unused) {
    (void)unused;
    if (depth > by_runtime) standin_add(threads_ended_with_context, 1);
}

static void child_of_fork(void) {
    if (initialised) forked = true;
}

__attribute__((constructor)) static void prepare(void) {
    pthread_key_create(&at_thread_end, thread_ended);
    pthread_atfork(NULL, NULL, child_of_fork);
}

CUresult standin_enter(const char *function, int kind) {
    if (ended) return CUDA_ERROR_DEINITIALIZED;
    if (forked) {  // a driver that was initialised before fork() is of no use in the child
        standin_add(calls_after_fork, 1);
        return CUDA_ERROR_NOT_INITIALIZED;
    }
    if (kind & (CONTEXT | WORK)) {
        standin_add(calls, kind & WORK ? 1 : 0);
        CUresult code = due(function, kind);
        if (code) return code;
    }
    if (kind & CONTEXT) {
        if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
        if (!depth || !retained) {
            standin_violation("%s without a current context", function);
            return CUDA_ERROR_INVALID_CONTEXT;
        }
        if (standin_dead()) return standin_dead();
    }
    return kind & UNSAFE ? standin_capture_bars(function) : CUDA_SUCCESS;
}

CUresult cuInit(unsigned int flags) {
    (void)flags;
    ENTER(WORK);
    initialised = true;
    return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent(CUcontext context) {
    ENTER(WORK);
    if (standin_dead() && dead_everywhere) return standin_dead();
    if (depth == DEPTH || context != (CUcontext)primary) return CUDA_ERROR_INVALID_CONTEXT;
    pthread_setspecific(at_thread_end, stack);
    stack[depth++] = context;
    return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext *context) {
    ENTER(0);
    if (standin_dead() && dead_everywhere) return standin_dead();
    if (!depth) return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (context) *context = stack[depth];
    return CUDA_SUCCESS;
}

CUresult cuCtxGetCurrent(CUcontext *context) {
    ENTER(0);
    *context = depth ? stack[depth - 1] : NULL;
    return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) {
    ENTER(0);
    if (context && context != (CUcontext)primary) return CUDA_ERROR_INVALID_CONTEXT;
    if (depth) depth--;
    if (context) {
        pthread_setspecific(at_thread_end, stack);
        stack[depth++] = context;
    }
    return CUDA_SUCCESS;
}

CUresult cuCtxGetDevice(CUdevice *device) {
    ENTER(CONTEXT);
    *device = 0;
    return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize(void) {
    ENTER(CONTEXT | WORK | UNSAFE);
    standin_finish_all(false);
    return standin_dead();
}

CUresult cuCtxDetach(CUcontext context) {
    (void)context;
    standin_violation("cuCtxDetach of the primary context, which must be released instead");
    return CUDA_ERROR_INVALID_CONTEXT;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    ENTER(WORK);
    if (device) return CUDA_ERROR_INVALID_DEVICE;
    if (standin_dead()) return standin_dead();
    pthread_mutex_lock(&standin_lock);
    retained++;
    pthread_mutex_unlock(&standin_lock);
    standin_add(contexts, 1);
    *context = (CUcontext)primary;
    return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
    ENTER(0);
    if (device || !retained) return CUDA_ERROR_INVALID_CONTEXT;
    pthread_mutex_lock(&standin_lock);
    retained--;
    pthread_mutex_unlock(&standin_lock);
    standin_add(contexts, -1);
    return CUDA_SUCCESS;
}

// What CUDA's runtime does when TensorRT calls it: the primary context becomes current on a thread that has none, and
// stays so; it is retained once, for good.
CUresult standin_runtime_context(void) {
    static bool once;
    if (ended || forked || depth) return CUDA_SUCCESS;
    initialised = true;
    pthread_mutex_lock(&standin_lock);
    retained += !once, once = true;
    pthread_mutex_unlock(&standin_lock);
    standin_add(implicit_contexts, 1);
    return by_runtime = true, cuCtxSetCurrent((CUcontext)primary);
}

// --- the device ---------------------------------------------------------------------------------------------------------
static long setting(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : otherwise;
}

static size_t memory_bytes(void) { return (size_t)setting("STANDIN_MEMORY_KIB", 8 << 20) << 10; }

CUresult cuDriverGetVersion(int *version) {
    *version = 13000;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) {
    ENTER(0);
    *count = 1;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    ENTER(0);
    if (ordinal) return CUDA_ERROR_INVALID_DEVICE;
    *device = 0;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
    (void)device;
    snprintf(name, length, "Stand-in GPU");
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device) {
    (void)device;
    *bytes = memory_bytes();
    return CUDA_SUCCESS;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device) {
    (void)device;
    long both = setting("STANDIN_COMPUTE_CAPABILITY", 89);
    *major = (int)(both / 10), *minor = (int)(both % 10);
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    int major, minor;
    cuDeviceComputeCapability(&major, &minor, device);
    switch (attribute) {
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = major; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = minor; break;
        case CU_DEVICE_ATTRIBUTE_INTEGRATED: *value = (int)setting("STANDIN_INTEGRATED", 0); break;
        case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
        case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
        case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 1; break;
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetPCIBusId(char *text, int length, CUdevice device) {
    (void)device;
    snprintf(text, length, "0000:01:00.0");
    return CUDA_SUCCESS;
}

CUresult cuMemGetInfo(size_t *unused, size_t *total) {
    ENTER(CONTEXT);
    *total = memory_bytes();
    *unused = *total - (size_t)standin_count("device_bytes");
    return CUDA_SUCCESS;
}

// --- names -----------------------------------------------------------------------------------------------------------------
static const struct { CUresult code; const char *name; } errors[] = {
    {0, "CUDA_SUCCESS"}, {1, "CUDA_ERROR_INVALID_VALUE"}, {2, "CUDA_ERROR_OUT_OF_MEMORY"},
    {3, "CUDA_ERROR_NOT_INITIALIZED"}, {4, "CUDA_ERROR_DEINITIALIZED"}, {101, "CUDA_ERROR_INVALID_DEVICE"},
    {201, "CUDA_ERROR_INVALID_CONTEXT"}, {400, "CUDA_ERROR_INVALID_HANDLE"}, {600, "CUDA_ERROR_NOT_READY"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {719, "CUDA_ERROR_LAUNCH_FAILED"}, {801, "CUDA_ERROR_NOT_SUPPORTED"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}, {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
    {905, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED"}, {906, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"},
    {907, "CUDA_ERROR_CAPTURED_EVENT"}, {908, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD"},
};

CUresult cuGetErrorName(CUresult code, const char **name) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].code == code) return *name = errors[i].name, CUDA_SUCCESS;
    *name = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult code, const char **text) {
    if (cuGetErrorName(code, text)) *text = "an error that the stand-in does not name";
    return CUDA_SUCCESS;
}

// The newest version of a function, under the name without a version, as cuda-bindings asks.
CUresult cuGetProcAddress(const char *symbol, void **function, int version, cuuint64_t flags,
                          CUdriverProcAddressQueryResult *status) {
    static const char *const suffixes[] = {"_v4", "_v3", "_v2", "WithFlags", ""};
    Dl_info here;
    (void)version, (void)flags;
    *function = NULL;
    void *self = dladdr((void *)standin_count, &here) ? dlopen(here.dli_fname, RTLD_NOLOAD | RTLD_LAZY) : NULL;
    for (int i = 0; self && !*function && i < 5; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", symbol, suffixes[i]);
        *function = dlsym(self, name);
    }
    if (status) *status = *function ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
