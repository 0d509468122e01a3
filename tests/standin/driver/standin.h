// A CUDA driver without a GPU: what its parts share. Device memory is the host's, work on a stream is done by the host.
//
// Names of its own begin with standin_; those without `static` here and there are called from Python, through ctypes.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <cuda.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

// What a call is. CONTEXT: it needs a current one. WORK: a fault armed for "*" counts it. UNSAFE: it is barred while a
// stream captures, as CUDA's programming guide says of allocation and of everything that waits.
enum { CONTEXT = 1, WORK = 2, UNSAFE = 4 };
CUresult standin_enter(const char *function, int kind);
#define ENTER(kind)                                         \
    do {                                                    \
        CUresult entered_ = standin_enter(__func__, kind); \
        if (entered_) return entered_;                      \
    } while (0)

// What is counted: live objects, and things that must not happen. The names are those of the report.
#define COUNTERS(X)                                                                                                    \
    X(device_allocations) X(device_bytes) X(page_locked) X(streams) X(events) X(graphs) X(graph_execs) X(contexts)     \
    X(violations) X(threads_ended_with_context) X(calls_after_fork) X(calls) X(launches) X(implicit_contexts)
enum counter {
#define NAME(name) name,
    COUNTERS(NAME)
#undef NAME
        counters
};
extern pthread_mutex_t standin_lock;  // over all tables; never held while an operation runs
void standin_add(enum counter what, long by);
void standin_violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
void standin_die(CUresult code);  // from now on every call that needs the context returns this
CUresult standin_dead(void);

// Memory. A device pointer has a bit that no host address has, so that the host cannot read what lies behind it.
#define DEVICE_BIT (1ULL << 48)
bool standin_resolve(unsigned long long address, size_t bytes, char **place, const char *what);
bool standin_is_pageable(unsigned long long address);

// Streams.
CUresult standin_capture_bars(const char *function);
void standin_finish_all(bool blocking_only);
CUresult standin_copy_async(unsigned long long to, unsigned long long from, size_t bytes, CUstream stream);
CUresult standin_set_async(unsigned long long to, int value, size_t bytes, CUstream stream);
CUresult standin_default_stream(void);  // what a call without a stream waits for; an error while one captures
