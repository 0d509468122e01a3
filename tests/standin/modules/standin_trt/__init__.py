"""TensorRT's Python API, computed by ONNX Runtime on the CPU, with the CUDA driver for memory and streams.

It proves what stands around TensorRT: contexts, threads, buffers, streams, graphs, lifetimes. Of TensorRT's own
results and speed it says nothing. Two packages beside this one, `tensorrt` and `tensorrt_rtx`, give it the names of
each kind; a test holds these against the real bindings.
"""
