"""Models as ONNX graphs, and a tokenizer that runs them without torch.

manifest   model.json: what a runtime has to know beside the graphs
spectra    the Fourier transforms of the layers in real arithmetic
codebooks  codebooks as tables
graphs     the four graphs of a codec, traced
exporting  a model to a folder
checking   the graphs against torch, on speech
sessions   onnxruntime, and what it says when a graph is none
runtime    the tokenizer without torch
streams    sound and codes while they come, without torch
"""
