"""Time, operations and bytes: beside peers, of presets, of training, of `infer`; and budgets for them."""
