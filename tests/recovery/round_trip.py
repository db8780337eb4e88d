"""Whether a file goes back into the model that was recovered from it."""

import numpy as np

import tflrecover


def assert_exact(content):
    """The recovered model, after other weights were put into it and the file's were ported back: all, bit for bit."""
    model = tflrecover.recover(content)
    wanted = model.get_weights()
    assert wanted
    generator = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(generator.normal(0, 0.1, variable.shape))
    report = tflrecover.port(content, model)
    assert report.ok
    assert report.ambiguities == report.differences == ()
    for path, mine, other in zip((v.path for v in model.weights), wanted, model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other, err_msg=path)
    return model
