import pytest

from chronosim.errors import EnhancementFailed
from chronosim.models.enhancement import FORMS, Form

EDIT = FORMS["edit"]


def test_a_prompt_is_taken_in_one_line() -> None:
    reply = "  The user wants to open the door.\n\nThe room stays.\n"
    assert EDIT.read(reply, "open") == "The user wants to open the door. The room stays."
    assert FORMS["time"].read("At first, the door is shut.", "open").startswith("At first,")


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", "is empty"),
        (" \n ", "is empty"),
        ('{"error": "I cannot help with that."}', "is JSON"),
        ('["The user wants to open the door."]', "is JSON"),
        ("I'm sorry, but I can't help with that.", "must begin with 'The user wants to'"),
        ("<think>Let me see.</think> The user wants to", "must begin with"),
        ("The user wants to" + " go" * 197, "has 201 words, and at most 200"),
    ],
)
def test_what_is_no_prompt_is_refused(reply: str, why: str) -> None:
    with pytest.raises(EnhancementFailed, match=why) as caught:
        EDIT.read(reply, "open the door")
    assert "'open the door'" in str(caught.value)


def test_a_form_of_ones_own_may_leave_the_opening_free() -> None:
    assert Form("free", "Reword it.", "").read("Anything", "x") == "Anything"


@pytest.mark.parametrize("form", FORMS.values(), ids=lambda form: form.name)
def test_a_writer_is_told_what_is_checked(form: Form) -> None:
    assert f'Begin with the words "{form.opening}' in form.instructions
    assert "60 to 100 words" in form.instructions or "80 to 100 words" in form.instructions
    assert form.instructions.isascii()
