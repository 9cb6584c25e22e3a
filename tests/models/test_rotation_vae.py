"""Laws of the whole model: its conventions, its invariance, and what may not be in it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rotdis.config import base_config
from rotdis.geometry import resample, so3
from rotdis.models import pose, rotation_vae

_canonicalize = jax.jit(rotation_vae.canonicalize)
_turn = jax.jit(jax.vmap(lambda x, rotation: resample.rotate(x[..., None], rotation)[..., 0]))


def _config(resolution=16, method="mixture", dtype="float32", frame_width=0):
    config = base_config()
    config.data.resolution = resolution
    config.model.width = config.pose.width = config.pose.second_width = 8
    config.model.latent_size = 5
    config.model.volume_channels = 2
    config.model.dtype = dtype
    config.pose.method = method
    config.pose.frame_width = frame_width
    return config


@functools.cache
def _model(**options):
    model = rotation_vae.create(_config(**options))
    return model, jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 16)))


@functools.cache
def _encode(**options):
    model, params = _model(**options)
    return jax.jit(lambda x: model.apply(params, x, method="encode"))


def _objects(count, size=16):
    return (jax.random.uniform(jax.random.key(1), (count, size, size, size)) > 0.7) * 1.0


@pytest.mark.parametrize("resolution", [16, 32, 64])
@pytest.mark.parametrize("method", ["mixture", "search", "none"])
def test_shapes_at_every_resolution(resolution, method):
    model = rotation_vae.create(_config(resolution, method))

    def both(x):
        params = model.init(jax.random.key(0), x[:1])
        code = model.apply(params, x, method="encode")
        return code, model.apply(params, code.z_mean, code.rotation, method="decode")

    code, logits = jax.eval_shape(both, jnp.zeros((2, *(resolution,) * 3)))
    assert code.z_mean.shape == code.z_logvar.shape == (2, 5)
    assert code.rotation.shape == (2, 3, 3)
    assert logits.shape == (2, *(resolution,) * 3)


def test_the_canonical_form_of_an_object_is_the_same_from_all_24_sides():
    model, params = _model()
    x = _objects(1)[0]
    sides = _turn(jnp.tile(x, (24, 1, 1, 1)), so3.cube_group())

    @jax.jit
    def canonical(x):
        code = model.apply(params, x, method="encode")
        return rotation_vae.canonicalize(x, code.rotation), code.z_mean

    forms, codes = canonical(sides)
    assert np.abs(forms - forms[0]).max() < 1e-4
    assert np.abs(codes - codes[0]).max() < 1e-4
    assert np.abs(sides[1] - sides[0]).max() == 1.0


def test_seen_upright_an_object_is_told_its_pose_from_every_side_alike():
    model, params = _model()
    x = _objects(1)
    first, second = jax.jit(lambda x: model.apply(params, x, method="posteriors"))(x)
    # What the second network says of the upright object, turned on by the first one's guess.
    upright = _canonicalize(x, first.mode())
    alone = jax.jit(lambda x: model.bind(params).second(x))(upright)
    assert np.allclose(second.rotations[0], first.mode()[0] @ alone.rotations[0], atol=1e-5)
    assert np.allclose(second.log_weights, alone.log_weights, atol=1e-4)
    assert np.allclose(_encode()(x).rotation, second.mode(), atol=1e-5)


def test_the_last_network_decides_between_the_rotations_of_the_corrected_object():
    model, params = _model(frame_width=8)
    x = _objects(1)
    *_, second, last = jax.jit(lambda x: model.apply(params, x, method="posteriors"))(x)
    alone = jax.jit(lambda x: model.bind(params).frame(x))(_canonicalize(x, second.mode()))
    assert np.allclose(last.rotations[0], second.mode()[0] @ so3.cube_group(), atol=1e-5)
    assert np.allclose(last.log_weights, alone.log_weights, atol=1e-4)
    code = _encode(frame_width=8)(x)
    assert np.allclose(code.rotation, last.mode(), atol=1e-5)
    assert len(code.earlier) == 2


def test_what_the_last_network_decides_does_not_teach_the_others_and_its_angles_do():
    model, params = _model(frame_width=8)
    x = _objects(2)
    weigh = jax.random.normal(jax.random.key(6), (2, 24, 3, 3))

    @jax.jit
    def taught(params):
        def decided(params):
            last = model.apply(params, x, training=True, method="posteriors")[-1]
            return jnp.sum(weigh[..., 0, 0] * last.log_weights), jnp.sum(weigh * last.rotations)

        return jax.jacrev(decided)(params)

    by_weights, by_angles = (
        {name for name, part in gradient["params"].items() if _largest(part) > 0}
        for gradient in taught(params)
    )
    assert by_weights == {"frame"}
    assert by_angles == {"second"}


def _largest(tree):
    return max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(tree))


def test_without_a_second_network_the_first_decides():
    config = _config()
    config.pose.second_width = 0
    model = rotation_vae.create(config)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 16)))
    assert "second" not in params["params"]
    code = jax.jit(lambda x: model.apply(params, x, method="encode"))(_objects(1))
    assert code.earlier == ()
    assert np.array_equal(code.rotation, code.posterior.mode())


def test_training_goes_by_the_heaviest_hypothesis_and_inference_by_the_mode():
    """Two that lean towards one pose outweigh the heaviest."""
    rotations = jnp.asarray(so3.cube_group())
    rotations = rotations.at[7].set(
        so3.from_rotation_vector(jnp.array([0.05, 0, 0])) @ rotations[3]
    )
    weights = jnp.full(24, 0.01).at[5].set(0.32).at[jnp.array([3, 7])].set(0.24)
    posterior = pose.PosePosterior(rotations[None], jnp.log(weights)[None])
    chosen = {training: rotation_vae._choose(posterior, training)[0] for training in (True, False)}
    assert np.array_equal(chosen[True], rotations[5])
    assert float(so3.geodesic_distance(chosen[False], rotations[3])) < 0.06


@pytest.mark.slow
def test_descending_the_negative_elbo_lowers_it():
    config = _config()
    model = rotation_vae.create(config)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 16)))
    config.pose.refine_steps = 5
    refining = rotation_vae.create(config)
    x = _objects(2)

    @jax.jit
    def negative_elbos(x):
        rotations = (m.apply(params, x, method="encode").rotation for m in (model, refining))
        function = model.bind(params)._negative_elbo()
        return [function((x, None), rotation) for rotation in rotations]

    before, after = negative_elbos(x)
    assert (after <= before).all()
    assert (after < before - 1e-3).any()


def test_the_canonical_form_turned_by_the_rotation_is_the_object():
    axis = jnp.arange(16) - 7.5
    x, y, z = jnp.meshgrid(axis, axis, axis, indexing="ij")
    volume = jnp.exp(-((x - 1) ** 2 + 2 * y**2 + (z + 1) ** 2) / 20)[None]
    rotation = so3.random_uniform(jax.random.key(2), (1,))
    again = _turn(_canonicalize(volume, rotation), rotation)
    assert np.abs(again - volume).max() < 0.08


def test_the_canonical_form_of_a_view_is_resampled_from_the_object_once():
    x = jax.random.uniform(jax.random.key(4), (3, 16, 16, 16))
    turned, rotation = so3.random_uniform(jax.random.key(5), (2, 3))
    views = _turn(x, turned)
    once = _canonicalize(views, rotation, (x, turned))
    back = jnp.swapaxes(rotation, 1, 2) @ turned
    assert np.allclose(once, _turn(x, back), atol=1e-5)
    # A view that is turned back by the rotation that made it is the object itself, unblurred.
    assert np.array_equal(_canonicalize(views, turned, (x, turned)), x)
    assert np.abs(_canonicalize(views, turned) - x).max() > 0.1


def test_the_decoder_sees_the_orientation_through_the_resampling_alone(monkeypatch):
    model, params = _model()
    z = jnp.ones((1, 5))
    identity = jnp.eye(3)[None]
    turned = so3.random_uniform(jax.random.key(3), (1,))
    decode = jax.jit(lambda z, r: model.apply(params, z, r, method="decode"))
    assert np.abs(decode(z, turned) - decode(z, identity)).max() > 1e-6
    # No parameter takes the rotation: the identity equals the path without resampling, ...
    plain = rotation_vae.Decoder(16, 8, 16, 2, 8)
    direct = jax.jit(plain.apply)({"params": params["params"]["decoder"]}, z, None)
    assert np.allclose(decode(z, identity), direct, atol=1e-5)
    # ... which has the same parameters, and where nothing is resampled no rotation tells.
    bare = jax.eval_shape(plain.init, jax.random.key(0), z, None)["params"]
    assert jax.tree.structure(bare) == jax.tree.structure(params["params"]["decoder"])
    monkeypatch.setattr(resample, "rotate", lambda volume, rotation: volume)
    unturned = model.apply(params, z, turned, method="decode")
    assert np.allclose(unturned, direct, atol=1e-5)


@pytest.mark.parametrize("method", ["mixture", "none"])
def test_no_convolution_is_strided_or_transposed(method):
    model, params = _model(method=method)
    text = jax.make_jaxpr(jax.grad(lambda p: model.apply(p, _objects(1)).sum()))(params)
    convolutions = [
        equation
        for equation in _equations(text.jaxpr)
        if equation.primitive.name == "conv_general_dilated"
    ]
    assert convolutions
    for equation in convolutions:
        for name in ("window_strides", "lhs_dilation", "rhs_dilation"):
            assert set(equation.params[name]) == {1}


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for part in value if isinstance(value, tuple) else (value,):
                inner = getattr(part, "jaxpr", part)
                if hasattr(inner, "eqns"):
                    yield from _equations(inner)


def test_bfloat16_computes_near_float32_with_float32_parameters_and_outputs():
    exact, params = _model()
    half, half_params = _model(dtype="bfloat16")
    assert {leaf.dtype for leaf in jax.tree.leaves(half_params)} == {jnp.dtype("float32")}
    x = _objects(2)
    encode_half = jax.jit(lambda x: half.apply(params, x, method="encode"))
    code, half_code = _encode()(x), encode_half(x)
    for leaf in jax.tree.leaves(half_code):
        assert leaf.dtype == jnp.float32
    assert np.abs(code.rotation - half_code.rotation).max() < 0.05
    assert jax.eval_shape(half.apply, params, x).dtype == jnp.float32
