from __future__ import annotations

import numpy as np

from chronosim.evaluation import Reference, draw_recordings


def test_a_recording_is_what_happened(slider: Reference) -> None:
    recordings = list(draw_recordings(3, reference=slider, steps=4, first_seed=9))
    assert [recording.seed for recording in recordings] == [9, 11, 12], "10 ends too early"
    recording = recordings[0]
    assert len(recording.actions) == 4
    assert [observation.step for observation in recording.observations] == [0, 1, 2, 3, 4]
    simulator = slider.simulator()
    simulator.reset(9)
    place = 9
    for action, after in zip(recording.actions, recording.observations[1:], strict=True):
        prediction, _, _ = simulator.step(action)
        assert prediction is not None
        np.testing.assert_array_equal(after.frame, prediction.frame)
        place += 4 * int(action[0])
        assert after.state == place, "the prompter's own reckoning"
