// Streams, events, and CUDA graphs: what is put on a stream is done at once, or when something waits for it.
//
// With STANDIN_DELAYED=1 an operation is done when the stream is waited for, so that a missing synchronise shows: the
// host reads what was there before. Under capture operations are recorded, and done at each launch of the graph.
#include "standin.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct operation {
    enum { COPY, SET, CALL, RECORD, WAIT } kind;
    unsigned long long to, from;
    size_t bytes;
    int value;
    CUhostFn call;
    void *argument;
    CUevent event;
    struct operation *next;
};

// Streams, events and graphs are never given back to the host's allocator: a handle that was destroyed stays known.
struct CUstream_st {
    bool live, blocking, running;
    struct operation *first, *last;
    CUstreamCaptureStatus capture;
    CUstreamCaptureMode mode;
    pthread_t captured_by;
    CUgraph graph;
    struct CUstream_st *next;
};
struct CUevent_st {
    bool live;
    int pending;
    double milliseconds;
    CUstream stream;
    bool captured;
};
struct CUgraph_st {
    bool live;
    struct operation *first, *last;
};
struct CUgraphExec_st {
    bool live;
    struct operation *first;
};
static struct CUstream_st null_stream = {.live = true, .blocking = true};
static CUstream streams_known = &null_stream;
static pthread_cond_t done = PTHREAD_COND_INITIALIZER;

static bool delayed(void) {
    const char *text = getenv("STANDIN_DELAYED");
    return text && *text == '1';
}

static CUstream known(CUstream stream) {
    return (unsigned long long)stream <= 2 ? &null_stream : stream->live ? stream : NULL;
}
#define STREAM(stream)                                                       \
    if (!(stream = known(stream))) {                                         \
        standin_violation("%s on a stream that was destroyed", __func__);    \
        return CUDA_ERROR_INVALID_HANDLE;                                    \
    }

// --- doing ---------------------------------------------------------------------------------------------------------------
static void run(CUstream stream, CUevent until);

static void perform(const struct operation *what) {
    char *to, *from;
    struct timespec now;
    if (standin_dead() && what->kind != RECORD) return;
    switch (what->kind) {
        case COPY:
            if (standin_resolve(what->to, what->bytes, &to, "copy to") && standin_resolve(what->from, what->bytes, &from, "copy from"))
                memcpy(to, from, what->bytes);
            else
                standin_die(CUDA_ERROR_ILLEGAL_ADDRESS);
            break;
        case SET:
            if (standin_resolve(what->to, what->bytes, &to, "memset")) memset(to, what->value, what->bytes);
            else standin_die(CUDA_ERROR_ILLEGAL_ADDRESS);
            break;
        case CALL:
            standin_add(launches, 1);
            what->call(what->argument);
            break;
        case RECORD:
            clock_gettime(CLOCK_MONOTONIC, &now);
            what->event->milliseconds = 1e3 * now.tv_sec + 1e-6 * now.tv_nsec;
            __atomic_sub_fetch(&what->event->pending, 1, __ATOMIC_SEQ_CST);
            break;
        case WAIT: run(what->event->stream, what->event); break;
    }
}

// Waits for another thread that is at this stream. It may need Python's lock for a kernel, which the caller may hold.
static void wait_for_turn(void) {
    int (*holds)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "PyGILState_Check");
    void *(*save)(void) = (void *(*)(void))dlsym(RTLD_DEFAULT, "PyEval_SaveThread");
    void (*restore)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "PyEval_RestoreThread");
    if (holds && save && restore && holds()) {
        pthread_mutex_unlock(&standin_lock);
        void *state = save();
        pthread_mutex_lock(&standin_lock);
        pthread_mutex_unlock(&standin_lock);
        struct timespec moment = {0, 100000};
        nanosleep(&moment, NULL);
        restore(state);
        pthread_mutex_lock(&standin_lock);
    } else
        pthread_cond_wait(&done, &standin_lock);
}

// Does what is on the stream, in order, up to the event if one is given.
static void run(CUstream stream, CUevent until) {
    pthread_mutex_lock(&standin_lock);
    while (stream->running || (stream->first && !(until && !until->pending))) {
        if (stream->running) {
            wait_for_turn();
            continue;
        }
        struct operation *what = stream->first;
        stream->first = what->next;
        if (!stream->first) stream->last = NULL;
        stream->running = true;
        pthread_mutex_unlock(&standin_lock);
        perform(what);
        free(what);
        pthread_mutex_lock(&standin_lock);
        stream->running = false;
        pthread_cond_broadcast(&done);
    }
    pthread_mutex_unlock(&standin_lock);
}

void standin_finish_all(bool blocking_only) {
    if (!delayed()) return;
    for (CUstream stream = streams_known; stream; stream = stream->next)
        if (!blocking_only || stream->blocking) run(stream, NULL);
}

static void append(struct operation **first, struct operation **last, const struct operation *what) {
    struct operation *copy = malloc(sizeof *copy);
    *copy = *what, copy->next = NULL;
    if (last && *last) (*last)->next = copy;
    else *first = copy;
    if (last) *last = copy;
}

static CUresult put(CUstream stream, struct operation what) {
    pthread_mutex_lock(&standin_lock);
    CUresult code = CUDA_SUCCESS;
    bool capturing = stream->capture != CU_STREAM_CAPTURE_STATUS_NONE;
    if (stream->capture == CU_STREAM_CAPTURE_STATUS_INVALIDATED) code = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    else if (capturing) append(&stream->graph->first, &stream->graph->last, &what);
    else append(&stream->first, &stream->last, &what);
    if (what.kind == RECORD && !code) {
        what.event->stream = stream, what.event->captured = capturing;
        if (!capturing) what.event->pending++;
    }
    pthread_mutex_unlock(&standin_lock);
    if (code || capturing) return code;
    if (stream == &null_stream) standin_finish_all(true);
    if (!delayed() || stream == &null_stream) run(stream, NULL);
    return standin_dead();
}

static CUresult invalidate(CUstream stream, CUresult code) {
    stream->capture = CU_STREAM_CAPTURE_STATUS_INVALIDATED;
    return code;
}

CUresult standin_copy_async(unsigned long long to, unsigned long long from, size_t bytes, CUstream stream) {
    char *place;
    STREAM(stream);
    bool pageable = standin_is_pageable(to) || standin_is_pageable(from);
    if (!standin_resolve(to, bytes, &place, "copy to") || !standin_resolve(from, bytes, &place, "copy from"))
        return CUDA_ERROR_INVALID_VALUE;
    if (pageable && stream->capture) return invalidate(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    CUresult code = put(stream, (struct operation){.kind = COPY, .to = to, .from = from, .bytes = bytes});
    if (pageable && !code) run(stream, NULL);  // such a copy is over when the call returns
    return code;
}

CUresult standin_set_async(unsigned long long to, int value, size_t bytes, CUstream stream) {
    char *place;
    STREAM(stream);
    if (!standin_resolve(to, bytes, &place, "memset")) return CUDA_ERROR_INVALID_VALUE;
    return put(stream, (struct operation){.kind = SET, .to = to, .value = value, .bytes = bytes});
}

// In stream order, on whatever thread does the stream's work: what the stand-in for TensorRT computes.
CUresult cuLaunchHostFunc(CUstream stream, CUhostFn call, void *argument) {
    ENTER(CONTEXT | WORK);
    STREAM(stream);
    return put(stream, (struct operation){.kind = CALL, .call = call, .argument = argument});
}

// --- streams ---------------------------------------------------------------------------------------------------------------
CUresult cuStreamCreate(CUstream *stream, unsigned int flags) {
    ENTER(CONTEXT | WORK);
    *stream = calloc(1, sizeof **stream);
    (*stream)->live = true, (*stream)->blocking = !(flags & CU_STREAM_NON_BLOCKING);
    pthread_mutex_lock(&standin_lock);
    (*stream)->next = null_stream.next, null_stream.next = *stream;
    pthread_mutex_unlock(&standin_lock);
    standin_add(streams, 1);
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy(CUstream stream) {
    ENTER(CONTEXT);
    STREAM(stream);
    if (stream == &null_stream) return CUDA_ERROR_INVALID_HANDLE;
    run(stream, NULL);
    stream->live = false;
    standin_add(streams, -1);
    return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) {
    ENTER(CONTEXT | WORK);
    STREAM(stream);
    if (stream->capture) return invalidate(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    if (stream == &null_stream) standin_finish_all(true);
    run(stream, NULL);
    return standin_dead();
}

CUresult cuStreamQuery(CUstream stream) {
    ENTER(CONTEXT | WORK);
    STREAM(stream);
    if (stream->capture) return invalidate(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    bool busy = stream->first || stream->running;
    run(stream, NULL);  // whoever asks again finds it done
    return standin_dead() ? standin_dead() : busy ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags) {
    (void)flags;
    ENTER(CONTEXT | WORK);
    STREAM(stream);
    if (!event->live) return CUDA_ERROR_INVALID_HANDLE;
    if (!event->pending) return CUDA_SUCCESS;
    return put(stream, (struct operation){.kind = WAIT, .event = event});
}

CUresult standin_default_stream(void) {
    for (CUstream stream = streams_known; stream; stream = stream->next)
        if (stream->live && stream->blocking && stream->capture) return invalidate(stream, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
    standin_finish_all(true);
    return CUDA_SUCCESS;
}

// --- events ----------------------------------------------------------------------------------------------------------------
CUresult cuEventCreate(CUevent *event, unsigned int flags) {
    (void)flags;
    ENTER(CONTEXT | WORK);
    *event = calloc(1, sizeof **event);
    (*event)->live = true, (*event)->milliseconds = -1;
    standin_add(events, 1);
    return CUDA_SUCCESS;
}

CUresult cuEventDestroy(CUevent event) {
    ENTER(CONTEXT);
    if (!event->live) return standin_violation("second destruction of an event"), CUDA_ERROR_INVALID_HANDLE;
    event->live = false;
    standin_add(events, -1);
    return CUDA_SUCCESS;
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
    ENTER(CONTEXT | WORK);
    STREAM(stream);
    if (!event->live) return CUDA_ERROR_INVALID_HANDLE;
    return put(stream, (struct operation){.kind = RECORD, .event = event});
}

CUresult cuEventSynchronize(CUevent event) {
    ENTER(CONTEXT | WORK);
    if (!event->live) return CUDA_ERROR_INVALID_HANDLE;
    if (event->captured) return CUDA_ERROR_CAPTURED_EVENT;
    if (event->pending) run(event->stream, event);
    return standin_dead();
}

CUresult cuEventQuery(CUevent event) {
    ENTER(CONTEXT | WORK);
    if (!event->live) return CUDA_ERROR_INVALID_HANDLE;
    if (event->captured) return CUDA_ERROR_CAPTURED_EVENT;
    bool busy = event->pending;
    if (busy) run(event->stream, event);
    return standin_dead() ? standin_dead() : busy ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

CUresult cuEventElapsedTime(float *milliseconds, CUevent begin, CUevent end) {
    ENTER(CONTEXT | WORK);
    if (!begin->live || !end->live || begin->milliseconds < 0 || end->milliseconds < 0) return CUDA_ERROR_INVALID_HANDLE;
    if (begin->pending || end->pending) return CUDA_ERROR_NOT_READY;
    *milliseconds = (float)(end->milliseconds - begin->milliseconds);
    return standin_dead();
}

// --- capture and graphs ----------------------------------------------------------------------------------------------------
// Called for what may not be done while a stream captures: by nobody in global mode, by the same thread in its own.
CUresult standin_capture_bars(const char *function) {
    bool waits_for_all = !strcmp(function, "cuCtxSynchronize");
    for (CUstream stream = streams_known; stream; stream = stream->next) {
        if (!stream->live || stream->capture != CU_STREAM_CAPTURE_STATUS_ACTIVE) continue;
        bool own = pthread_equal(stream->captured_by, pthread_self());
        if (waits_for_all || stream->mode == CU_STREAM_CAPTURE_MODE_GLOBAL || (own && stream->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
            return invalidate(stream, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }
    return CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
    ENTER(CONTEXT | WORK);
    STREAM(stream);
    if (stream == &null_stream) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    stream->graph = calloc(1, sizeof *stream->graph);
    stream->mode = mode, stream->captured_by = pthread_self(), stream->capture = CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}

CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    ENTER(CONTEXT | WORK);
    STREAM(stream);
    *graph = NULL;
    if (!stream->capture) return CUDA_ERROR_ILLEGAL_STATE;
    if (stream->mode != CU_STREAM_CAPTURE_MODE_RELAXED && !pthread_equal(stream->captured_by, pthread_self()))
        return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    bool valid = stream->capture == CU_STREAM_CAPTURE_STATUS_ACTIVE;
    stream->capture = CU_STREAM_CAPTURE_STATUS_NONE;
    if (!valid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    *graph = stream->graph;
    (*graph)->live = true;
    standin_add(graphs, 1);
    return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus *status) {
    ENTER(CONTEXT);
    STREAM(stream);
    *status = stream->capture;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCaptureInfo(CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph,
                                const CUgraphNode **nodes, const CUgraphEdgeData **edges, size_t *count) {
    ENTER(CONTEXT);
    STREAM(stream);
    *status = stream->capture;
    if (id) *id = (cuuint64_t)stream->graph;
    if (graph) *graph = stream->graph;
    if (nodes) *nodes = NULL;
    if (edges) *edges = NULL;
    if (count) *count = 0;
    return CUDA_SUCCESS;
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode) {
    static __thread CUstreamCaptureMode now = CU_STREAM_CAPTURE_MODE_GLOBAL;
    ENTER(0);
    CUstreamCaptureMode before = now;
    now = *mode, *mode = before;
    return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags) {
    (void)flags;
    ENTER(CONTEXT | WORK);
    if (!graph || !graph->live) return CUDA_ERROR_INVALID_HANDLE;
    struct operation *last = NULL;
    *executable = calloc(1, sizeof **executable);
    (*executable)->live = true;
    for (struct operation *what = graph->first; what; what = what->next) append(&(*executable)->first, &last, what);
    standin_add(graph_execs, 1);
    return CUDA_SUCCESS;
}

CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    ENTER(CONTEXT | WORK);
    STREAM(stream);
    if (!executable || !executable->live) {
        standin_violation("launch of a graph that was destroyed");
        return CUDA_ERROR_INVALID_HANDLE;
    }
    CUresult code = CUDA_SUCCESS;
    for (struct operation *what = executable->first; what && !code; what = what->next) code = put(stream, *what);
    return code;
}

CUresult cuGraphUpload(CUgraphExec executable, CUstream stream) {
    ENTER(CONTEXT | WORK);
    STREAM(stream);
    return executable && executable->live ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode *nodes, size_t *count) {
    ENTER(CONTEXT);
    if (!graph || !graph->live) return CUDA_ERROR_INVALID_HANDLE;
    size_t room = nodes ? *count : 0;
    *count = 0;
    for (struct operation *what = graph->first; what; what = what->next, ++*count)
        if (*count < room) nodes[*count] = (CUgraphNode)what;
    return CUDA_SUCCESS;
}

static CUresult destroy(bool *live, enum counter kind, const char *what) {
    if (!*live) return standin_violation("second destruction of a %s", what), CUDA_ERROR_INVALID_HANDLE;
    *live = false;
    standin_add(kind, -1);
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph) {
    ENTER(CONTEXT);
    return destroy(&graph->live, graphs, "graph");
}

CUresult cuGraphExecDestroy(CUgraphExec executable) {
    ENTER(CONTEXT);
    return destroy(&executable->live, graph_execs, "graph executable");
}
