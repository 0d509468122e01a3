"""The gate: the one way in for files, messages and names that come from elsewhere.

- :mod:`.files`: bytes and text of regular files, up to a size.
- :mod:`.json_text`, :mod:`.yaml_text`, :mod:`.csv_rows`: what they say, up to a depth and a number of values.
- :mod:`.image_size`, :mod:`.decoding_memory`: what a picture's header promises, before anything is decoded, and how
  many pictures may be decoded at once.
- :mod:`.tensor_file`, :mod:`.graph_file`: weights, and ONNX graphs.
- :mod:`.packed`: what is packed, up to the size that was promised.
- :mod:`.shown`: a name as it may be shown on a terminal, in a log, on a page.

What is refused is an ``OSError`` (the file) or a ``ValueError`` (what stands in it), in one line without the file's
name; whoever asked makes the error of it that the user sees, and says what to do. Readers that
pass it by are found by ``tests/project/test_one_gate.py``.
"""
