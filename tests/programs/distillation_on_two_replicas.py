"""Two replicas give the losses and metrics of one, even if one of them has no sample in a step."""
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from distillation_models import FEATURES, compiled_distiller, dense_model, w, x, y  # noqa: E402

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for options in (
    dict(),
    dict(features=FEATURES),
    dict(distillation_loss_fn="cwd"),
    dict(distillation_loss_fn="kl_divergence"),
):
    one = compiled_distiller(**options)
    with strategy.scope(): two = compiled_distiller(**options)
    logs = []
    for model in one, two:
        arguments = dict(sample_weight=w, batch_size=8, verbose=0)
        history = model.fit(x, y, epochs=2, shuffle=False, **arguments).history
        after = model.evaluate(x, y, return_dict=True, **arguments)
        logs.append({f"after {name}": value for name, value in after.items()})
        logs[-1].update({name: values[-1] for name, values in history.items()})
    assert logs[0].keys() == logs[1].keys()
    assert all(abs(logs[0][k] - logs[1][k]) < 1e-4 for k in logs[0]), logs

with strategy.scope():
    uneven = compiled_distiller(student=dense_model(4, 0), teacher=dense_model(8, 1))
# in the last step one replica has the only sample
history = uneven.fit(x[:5], y[:5, 0, 0], batch_size=4, verbose=0).history
assert all(np.isfinite(v).all() for v in history.values()), history
