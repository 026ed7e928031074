"""A bounded memory."""

from chronosim.models.engine.components import Memo


def test_it_computes_once_and_forgets_what_was_asked_for_longest_ago() -> None:
    memo: Memo[int] = Memo(2)
    computed: list[str] = []

    def ask(key: str) -> int:
        def compute() -> int:
            computed.append(key)
            return len(computed)

        return memo.get(key, compute)

    assert [ask(key) for key in "aabacaab"] == [1, 1, 2, 1, 3, 1, 1, 4]
    assert computed == ["a", "b", "c", "b"]
