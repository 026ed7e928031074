"""Trains LeRobot's ACT, a very small one, for one epoch on a data set; prints its losses."""

from __future__ import annotations

import json
import sys

import torch
from lerobot.configs.types import FeatureType
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.utils import dataset_to_policy_features
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from lerobot.policies.factory import make_pre_post_processors


def main(root: str) -> None:
    torch.manual_seed(0)
    chunk = 4
    plain = LeRobotDataset("chronosim/episodes", root=root)
    times = [index / plain.fps for index in range(chunk)]
    dataset = LeRobotDataset("chronosim/episodes", root=root, delta_timestamps={"action": times})
    features = dataset_to_policy_features(dataset.features)
    config = ACTConfig(
        input_features={k: v for k, v in features.items() if v.type is not FeatureType.ACTION},
        output_features={k: v for k, v in features.items() if v.type is FeatureType.ACTION},
        chunk_size=chunk,
        n_action_steps=chunk,
        dim_model=32,
        n_heads=2,
        dim_feedforward=32,
        n_encoder_layers=1,
        n_vae_encoder_layers=1,
        pretrained_backbone_weights=None,
        device="cpu",
    )
    policy = ACTPolicy(config)
    before, _ = make_pre_post_processors(config, dataset_stats=dataset.meta.stats)
    optimizer = torch.optim.AdamW(policy.parameters(), 1e-3)
    losses = []
    for batch in torch.utils.data.DataLoader(dataset, batch_size=4, shuffle=True):
        loss, _ = policy(before(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(json.dumps(losses))


if __name__ == "__main__":
    main(*sys.argv[1:])
