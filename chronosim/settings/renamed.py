"""The names that earlier builds wrote into logs, as they are called today."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# What is called what today, and what it was called: where it stood, and its name if it was another.
_MOVED = """
models.load                      models.loading.load
models.load_enhanced             models.enhancement.loading.load
models.load_writer               models.enhancement.local.load
models.load_editor               models.rivals.loading.load_editor
models.load_if_edit              models.rivals.loading.load_if_edit
models.EndpointWriter            models.enhancement.endpoint.EndpointWriter
models.RemoteModel               models.remote.RemoteModel
metrics.Judge                    metrics.judge.Judge
prompters.Bimanual               adapters.prompters.bimanual.BimanualPrompter
prompters.Driving                adapters.prompters.driving.DrivingPrompter
prompters.DrivingBySpeed         adapters.prompters.driving_by_speed.SpeedPrompter
prompters.DrivingByWaypoints     adapters.prompters.driving_by_waypoints.WaypointPrompter
prompters.EndEffector            adapters.prompters.end_effector.EndEffectorPrompter
prompters.Events                 adapters.prompters.events.EventPrompter
prompters.Instruction            adapters.prompters.instruction.InstructionPrompter
prompters.Joints                 adapters.prompters.joints.JointPrompter
prompters.Manoeuvres             adapters.prompters.manoeuvres.ManoeuvrePrompter
prompters.Pushing                adapters.prompters.pushing.PushingPrompter
prompters.Trigger                adapters.prompters.trigger.TriggerPrompter
prompters.Values                 adapters.prompters.values.ValuesPrompter
policies.AnyDrive                adapters.policies.alternatives.AnyDrive
policies.AnyPush                 adapters.policies.alternatives.AnyPush
policies.Constant                adapters.policies.constant.ConstantPolicy
policies.DriverMix               adapters.policies.carracing.DriverMix
policies.Handicapped             adapters.policies.handicapped.HandicappedPolicy
policies.LaneFollower            adapters.policies.carracing.LaneFollower
policies.Planned                 adapters.policies.plan.PlanPolicy
policies.Pusher                  adapters.policies.pusht.Pusher
policies.PusherMix               adapters.policies.pusht.PusherMix
policies.Random                  adapters.policies.random.RandomPolicy
policies.RoadBalance             adapters.policies.balance.RoadBalance
policies.RoadLeaver              adapters.policies.road_leaver.RoadLeaver
policies.RoadPlanner             adapters.policies.road_planner.RoadPlanner
policies.Shover                  adapters.policies.shover.Shover
policies.StayPut                 adapters.policies.shover.StayPut
scenarios.CarRacingScenario      scenarios.carracing.CarRacingScenario
scenarios.PushTScenario          scenarios.pusht.PushTScenario
scenarios.RecordedScenario       scenarios.recorded.RecordedScenario
scenarios.Scene                  scenarios.scene.Scene
scenarios.goals.AllOf            scenarios.goals.combined.AllOf
scenarios.goals.AnyOf            scenarios.goals.combined.AnyOf
scenarios.goals.BlockAway        scenarios.goals.board.BlockAway
scenarios.goals.BlockGone        scenarios.goals.board.BlockGone
scenarios.goals.ColourShare      scenarios.goals.colour.ColourShare
scenarios.goals.CommandedState   scenarios.goals.kept.CommandedState
scenarios.goals.GoalCovered      scenarios.goals.board.GoalCovered
scenarios.goals.InWords          scenarios.goals.words.InWords
scenarios.goals.LikeFrame        scenarios.goals.likeness.LikeFrame
scenarios.goals.Moving           scenarios.goals.road.Moving
scenarios.goals.Not              scenarios.goals.combined.Not
scenarios.goals.OnRoad           scenarios.goals.road.OnRoad
scenarios.goals.RoadBends        scenarios.goals.road.RoadBends
scenarios.goals.RoadLost         scenarios.goals.road.RoadLost
simulators.CarRacingSimulator    adapters.simulators.carracing.CarRacingSimulator
simulators.GymnasiumSimulator    adapters.simulators.any_gymnasium.GymnasiumSimulator
simulators.PushTSimulator        adapters.simulators.pusht.PushTSimulator
"""
_TARGETS = {
    f"chronosim.{was}": f"chronosim.{now}"
    for now, was in (line.split() for line in _MOVED.strip().splitlines())
}
# How the objects write themselves, such as "DrivingPrompter(seconds_per_step=0.36, ...)".
_WRITTEN = {
    was: now
    for was, now in (
        (was.rpartition(".")[2], now.rpartition(".")[2]) for was, now in _TARGETS.items()
    )
    if was != now and was != "load"
}
_DEPTH = 100  # of lists and mappings in each other; no settings are nested as deep
# Prompters that an earlier build named inside others, as they were then: with the words of then.
_EVENTS = "chronosim.adapters.prompters.events.EventPrompter"
_WORDED = {
    "driving": {"_target_": "chronosim.prompters.Driving", "seconds_per_step": 0.36},
    "pushing": {"_target_": "chronosim.prompters.Pushing", "seconds_per_step": 0.9},
}
_CLASS = re.compile(rf"\b({'|'.join(_WRITTEN)})\(")


def rename_log(about: Mapping[str, Any]) -> dict[str, Any]:
    """Gives an episode's log with the names of today, wherever an earlier build wrote another.

    Renamed are the targets in its settings, and the classes in the words that prompter,
    scenario and policy are told by.
    """
    renamed = {str(name): value for name, value in about.items()}
    for name in ("prompter", "scenario", "policy"):
        if isinstance(told := renamed.get(name), str):
            renamed[name] = _CLASS.sub(lambda found: f"{_WRITTEN[found[1]]}(", told)
    if "config" in renamed:
        renamed["config"] = rename_settings(renamed["config"])
    return renamed


def rename_settings(value: Any, depth: int = 0) -> Any:
    """Gives plain settings, however deep, with each target under its name of today."""
    if isinstance(value, str) or depth > _DEPTH:
        return _TARGETS.get(value, value) if isinstance(value, str) else value
    if isinstance(value, Mapping):
        renamed = {name: rename_settings(one, depth + 1) for name, one in value.items()}
        inner = value.get("prompter")
        if value.get("_target_") == _EVENTS and isinstance(inner, str) and inner in _WORDED:
            renamed["prompter"] = dict(_WORDED[inner])
        return renamed
    return [rename_settings(one, depth + 1) for one in value] if isinstance(value, list) else value
