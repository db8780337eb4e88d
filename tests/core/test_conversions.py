"""Every way to a file: converters, frameworks, buffers and signatures; the port is the same."""

import contextlib
import io

import flatbuffers
import keras
import keras_models as zoo
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from keras import layers as L

import tflrecover
from tests.core.file_builders import File, run
from tests.core.lite import stripped
from tflrecover import tolerances


def network(seed, layers=L, framework=keras, batch=2):
    inputs = framework.Input((8, 8, 3), batch_size=batch)
    x = layers.Conv2D(6, 3, use_bias=False, name="conv")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.Dense(4, name="dense")(layers.Flatten()(x))
    return zoo.randomize(framework.Model(inputs, x, name="network"), seed)


def image(batch=2):
    return np.random.default_rng(0).uniform(-1, 1, (batch, 8, 8, 3)).astype("float32")


def assert_ported(content, original, twin, **options):
    report = tflrecover.port(content, twin, **options)
    assert report.ok
    wanted, got = np.asarray(original(image())), np.asarray(twin(image()))
    assert np.abs(wanted - got).max() <= tolerances.OUTPUT * np.abs(wanted).max()
    return report


def quietly(converter):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return converter.convert()


def test_exported_saved_model(tmp_path):
    original = network(1)
    with contextlib.redirect_stdout(io.StringIO()):
        original.export(tmp_path / "saved")
    content = quietly(tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved")))
    # An exported model has a free batch, whatever the model itself says.
    assert_ported(stripped(content), original, network(2, batch=None))


def test_several_signatures_and_metadata():
    """The first subgraph is the network; another signature, and what else lies in the file, does not disturb."""
    original = network(1)

    def change(made):
        second = schema.ModelT.InitFromPackedBuf(zoo.convert(zoo.two_heads()))
        count, codes = len(made.buffers), len(made.operatorCodes)
        for tensor in second.subgraphs[0].tensors:
            tensor.buffer += count
        for operator in second.subgraphs[0].operators:
            operator.opcodeIndex += codes
        made.buffers += second.buffers
        made.operatorCodes += second.operatorCodes
        made.subgraphs += second.subgraphs
        second.signatureDefs[0].signatureKey, second.signatureDefs[0].subgraphIndex = "second", 1
        made.signatureDefs += second.signatureDefs

    content = repacked(zoo.convert(original), change)
    file = tflrecover.read(content)
    assert [signature.key for signature in file.signatures] == ["serving_default", "second"]
    assert len(file.subgraphs) == 2
    assert file.metadata
    assert_ported(content, original, network(2))


def concrete(model):
    return tf.function(lambda x: model(x, training=False)).get_concrete_function(tf.TensorSpec((2, 8, 8, 3)))


def test_concrete_function_without_weights():
    """Keras 3 variables are none that this converter finds: the file has empty ones."""
    original = network(1)
    empty = quietly(tf.lite.TFLiteConverter.from_concrete_functions([concrete(original)], original))
    with pytest.raises(tflrecover.WeightlessFile, match="from_keras_model"):
        tflrecover.port(empty, network(2))
    with pytest.raises(tflrecover.WeightlessFile, match="from_keras_model"):
        tflrecover.recover(empty)


def test_concrete_function():
    """Without the trackable object the converter freezes what the function has captured."""
    original = network(1)
    content = quietly(tf.lite.TFLiteConverter.from_concrete_functions([concrete(original)]))
    assert_ported(stripped(content), original, network(2))


def test_frozen_concrete_function():
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    original = network(1)
    frozen = convert_variables_to_constants_v2(concrete(original))
    content = quietly(tf.lite.TFLiteConverter.from_concrete_functions([frozen]))
    assert_ported(stripped(content), original, network(2))


def test_keras_2():
    import tf_keras

    original, twin = (network(seed, tf_keras.layers, tf_keras) for seed in (1, 2))
    content = stripped(quietly(tf.lite.TFLiteConverter.from_keras_model(original)))
    assert_ported(content, original, twin)
    # A file of one framework, a target of the other.
    assert_ported(content, original, network(2))


def test_target_trained_further():
    """The target moved on after it was converted; the file takes it back."""
    model = network(1)
    content = stripped(zoo.convert(model))
    wanted = np.asarray(model(image()))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(image(), np.ones((2, 4)), epochs=3, batch_size=2, verbose=0)
    assert np.abs(np.asarray(model(image())) - wanted).max() > 1e-2
    tflrecover.port(content, model)
    assert np.abs(np.asarray(model(image())) - wanted).max() <= tolerances.OUTPUT * np.abs(wanted).max()


def repacked(content, change):
    made = schema.ModelT.InitFromPackedBuf(content)
    change(made)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(made.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_buffers_behind_the_table():
    """As in files over 2 GiB: the table says where behind it the contents lie."""
    original = network(1)
    content = zoo.convert(original)
    contents = []

    def move(made):
        contents.clear()
        for buffer in made.buffers:
            data = b"" if buffer.data is None else bytes(bytearray(buffer.data))
            contents.append(data)
            # Offsets 0 and 1 mean that there is none; any other keeps the table's size.
            buffer.data, buffer.offset, buffer.size = (None, 1 << 40, len(data)) if data else (None, 0, 0)

    start = -(-len(repacked(content, move)) // 16) * 16

    def place(made):
        move(made)
        behind = start
        for buffer, data in zip(made.buffers, contents, strict=True):
            if data:
                buffer.offset, behind = behind, behind + -(-len(data) // 16) * 16

    table = repacked(content, place)
    tail = b"".join(data.ljust(-(-len(data) // 16) * 16, b"\0") for data in contents if data)
    external = table.ljust(start, b"\0") + tail
    assert_ported(external, original, network(2))
    with pytest.raises(tflrecover.InvalidFile, match="leads to byte"):
        tflrecover.read(external[:-64])


def test_one_buffer_for_many_tensors():
    """Two layers of equal contents share a buffer, or have one each: both get their weights."""
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(4, 4)).astype("float32"), rng.normal(size=4).astype("float32")

    def build():
        inputs = keras.Input((4,), batch_size=1)
        x = L.Dense(4, activation="tanh", name="a")(inputs)
        return zoo.randomize(keras.Model(inputs, L.Dense(4, name="b")(x)), 2)

    for shared in (True, False):
        file = File()
        x = file.input((1, 4))
        k, b = file.const(kernel), file.const(bias)
        x = file.op("FULLY_CONNECTED", (x, k, b), (1, 4), options="FullyConnectedOptions")
        x = file.op("TANH", (x,), (1, 4))
        if shared:
            again = file.tensor((4, 4), buffer=file.tensors[k].buffer), b
        else:
            again = file.const(kernel), file.const(bias)
        y = file.op("FULLY_CONNECTED", (x, *again), (1, 4), options="FullyConnectedOptions")
        model, given = build(), rng.normal(size=(1, 4)).astype("float32")
        content = file.content(y)
        report = tflrecover.port(content, model)
        assert report.ok
        assert {a.state for a in report.assignments} == {"assigned"}
        assert np.allclose(model(given), run(content, given)[0], rtol=1e-5, atol=1e-6)
        assert all(np.array_equal(layer.kernel, kernel.T) for layer in model.layers[1:])


@pytest.mark.parametrize("batch", [1, 3])
def test_batch_of_the_file_is_not_that_of_the_model(batch):
    """A model with a free batch takes a file of any."""
    original, twin = network(1, batch=batch), network(2, batch=None)
    report = tflrecover.port(stripped(zoo.convert(original)), twin)
    assert report.ok
    wanted, got = np.asarray(original(image(batch))), np.asarray(twin(image(batch)))
    assert np.abs(wanted - got).max() <= tolerances.OUTPUT * np.abs(wanted).max()


@pytest.mark.parametrize("framework", ["keras", "tf_keras"])
@pytest.mark.parametrize("name", ["pretrainedResnet.tflite", "pretrainedResnet_quant.tflite"])
def test_resnet_of_mlperf_tiny(shared, framework, name):
    """A published pair: float32 and int8 files, and the network as it was trained."""
    api = keras if framework == "keras" else pytest.importorskip("tf_keras")
    folder = shared / "data" / "pairs"
    original = api.models.load_model(folder / "pretrainedResnet.h5", compile=False)
    twin = zoo.randomize(api.models.clone_model(original), 2)
    report = tflrecover.port(stripped((folder / name).read_bytes()), twin)
    assert report.ok
    given = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype("float32")
    before = [api.Model(m.inputs, m.layers[-1].input) for m in (original, twin)]
    wanted, got = (np.asarray(m(given)) for m in before)
    error = np.sqrt(np.square(wanted - got).mean() / np.square(wanted).mean())
    assert error < (0.1 if "quant" in name else tolerances.OUTPUT)
