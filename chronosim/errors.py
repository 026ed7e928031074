"""Everything chronosim raises on purpose.

Each error is one sentence saying what was wrong (the value) and what would be right, and each
leaf is also the builtin that a caller would expect::

    ChronosimError
    ├── InvalidFrame (ValueError)            a frame is not RGB uint8, or not of the model's size
    ├── InvalidAction (ValueError)           an action lies outside the action space
    ├── InvalidPrompt (ValueError)           words that the model cannot read
    ├── InvalidConfig (ValueError)           an unknown name, key or setting
    ├── InvalidModel (ValueError)            weights or a config that cannot work
    ├── InvalidEpisode (ValueError)          an episode's data contradicts itself
    ├── ModelNotFound (FileNotFoundError)    a model folder or one of its files is missing
    ├── EpisodeNotFound (FileNotFoundError)  there is no episode or data set at that path
    ├── EpisodeWriteError (OSError)          the disk refused a step; what was committed is whole
    ├── EpisodeExists (FileExistsError)      an episode would be overwritten
    ├── Cancelled (RuntimeError)             a callback ended a prediction
    ├── EnhancementFailed (RuntimeError)     an edit could not be worded out
    ├── JudgementFailed (RuntimeError)       a judge gave no answer, or none that can be read
    ├── ModelBusy (RuntimeError)             more prompts wait for a model than it may keep waiting
    ├── RemoteFailed (RuntimeError)          a model behind a URL is not reached, or speaks wrongly
    ├── ResetNeeded (RuntimeError)           step, render or fork before reset, or after the end
    ├── WorkerLost (RuntimeError)            processes of a run are killed again and again
    └── MissingDependency (ImportError)      an optional package is needed; the sentence names it

A `ChronosimWarning` (UserWarning) says in a sentence what was converted, cut or left out.
"""

__all__ = [
    "Cancelled",
    "ChronosimError",
    "ChronosimWarning",
    "EnhancementFailed",
    "EpisodeExists",
    "EpisodeNotFound",
    "EpisodeWriteError",
    "InvalidAction",
    "InvalidConfig",
    "InvalidEpisode",
    "InvalidFrame",
    "InvalidModel",
    "InvalidPrompt",
    "JudgementFailed",
    "MissingDependency",
    "ModelBusy",
    "ModelNotFound",
    "RemoteFailed",
    "ResetNeeded",
    "WorkerLost",
]


class ChronosimError(Exception):
    """The root of the tree: catch it to catch everything chronosim raises on purpose."""


class InvalidFrame(ChronosimError, ValueError):
    """Raised when a frame is not an RGB uint8 array, or not of the size a model works at."""


class InvalidAction(ChronosimError, ValueError):
    """Raised when an action does not lie in the action space: wrong shape, NaN, out of bounds."""


class InvalidPrompt(ChronosimError, ValueError):
    """Raised when a model cannot read the words of a prompt."""


class InvalidConfig(ChronosimError, ValueError):
    """Raised when a config names something unknown or holds a setting that cannot work."""


class InvalidModel(ChronosimError, ValueError):
    """Raised when a model's files are there but cannot work together, or are no ChronoEdit."""


class InvalidEpisode(ChronosimError, ValueError):
    """Raised when an episode's data contradicts itself or its schema is unknown."""


class ModelNotFound(ChronosimError, FileNotFoundError):
    """Raised when a model folder, or a file that its index names, is missing."""


class EpisodeNotFound(ChronosimError, FileNotFoundError):
    """Raised when there is no episode, or no data set, at a path."""


class EpisodeWriteError(ChronosimError, OSError):
    """Raised when the disk refuses a step; every step committed before it stays readable."""


class EpisodeExists(ChronosimError, FileExistsError):
    """Raised when an episode of that name is on disk already."""


class Cancelled(ChronosimError, RuntimeError):
    """Raised by a callback to end a prediction between two denoising steps."""


class EnhancementFailed(ChronosimError, RuntimeError):
    """Raised when a prompt enhancer gives no words in time, or words that are no prompt."""


class JudgementFailed(ChronosimError, RuntimeError):
    """Raised when a judge gives no answer in time, or none that its question allows."""


class ModelBusy(ChronosimError, RuntimeError):
    """Raised when more prompts wait for a model than it may keep waiting; later there is room."""


class RemoteFailed(ChronosimError, RuntimeError):
    """Raised when a world model behind a URL is not reached, is late, or breaks the protocol."""


class ResetNeeded(ChronosimError, RuntimeError):
    """Raised when an environment is used before `reset`."""


class WorkerLost(ChronosimError, RuntimeError):
    """Raised when other processes that do the work are killed; what they finished stays."""


class MissingDependency(ChronosimError, ImportError):
    """Raised when an optional package is needed; the sentence names what to install."""


class ChronosimWarning(UserWarning):
    """Given when work goes on with something converted, cut or left out; the sentence says what."""
