"""Steps several worlds at once with a Torch policy: one call of the policy, one of the world model.

The policy is a small network that knows nothing yet; this is the loop that would train it.

Usage: python examples/03_vector_torch_policy.py [model]
"""

import sys

import numpy as np
import torch
from torch import nn

from chronosim.envs import make_vector_env
from chronosim.frames import write_frame

torch.manual_seed(0)
model = sys.argv[1] if len(sys.argv) > 1 else "nano"
envs = make_vector_env(num_envs=3, model=model, scenario="carracing", horizon=4)
# Steering, throttle, brake: the bounds of the action space.
low, high = torch.tensor([-1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 1.0])


class Policy(nn.Module):
    """Frames and speed in; mean and deviation of steering, throttle and brake out."""

    def __init__(self) -> None:
        super().__init__()
        self.eyes = nn.Sequential(
            nn.Conv2d(3, 8, 8, stride=4), nn.ReLU(), nn.Conv2d(8, 16, 4, stride=2), nn.ReLU()
        )
        self.head = nn.Linear(16 * 10 * 10 + 1, 3)
        self.spread = nn.Parameter(torch.full((3,), -1.0))

    def forward(self, frames: torch.Tensor, speed: torch.Tensor) -> torch.distributions.Normal:
        """Gives the distribution of the action: frames (n, 96, 96, 3), speed (n, 1)."""
        seen = self.eyes(frames.permute(0, 3, 1, 2).float() / 255).flatten(1)
        mean = self.head(torch.cat([seen, speed / 20], dim=1)).sigmoid()
        return torch.distributions.Normal(low + (high - low) * mean, self.spread.exp())


policy = Policy()
optimiser = torch.optim.Adam(policy.parameters(), 1e-3)
seen, info = envs.reset(seed=0)
frames, logs, rewards = [np.hstack(list(seen["image"]))], [], []
for _ in range(4):
    actions = policy(torch.from_numpy(seen["image"]), torch.from_numpy(seen["state"]))
    chosen = actions.sample()
    logs.append(actions.log_prob(chosen).sum(1))
    inside = torch.clamp(chosen, low, high).numpy()
    seen, reward, terminated, truncated, info = envs.step(inside)
    rewards.append(torch.from_numpy(reward).float())
    frames.append(np.hstack(list(seen["image"])))

# One step of REINFORCE: what was followed by more than the others got becomes likelier.
to_come = torch.stack(rewards).flip(0).cumsum(0).flip(0)
loss = -(torch.stack(logs) * (to_come - to_come.mean(1, keepdim=True))).mean()
optimiser.zero_grad()
loss.backward()  # type: ignore[no-untyped-call]
optimiser.step()
print(f"Returns {to_come[0].tolist()}, loss {loss.item():.3f}")
write_frame("worlds.png", np.vstack(frames))
envs.close()
