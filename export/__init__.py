"""From a checkpoint to one fused ONNX graph, its typed forms, and a TensorRT engine in a bundle."""
