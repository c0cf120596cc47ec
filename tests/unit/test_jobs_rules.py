"""What may be asked of a job, and when."""

from sterna.core.people import check_password, hash_password


def test_a_password_is_checked_against_its_hash() -> None:
    hashed = hash_password("p'ä\"ss")
    assert check_password("p'ä\"ss", hashed)
    assert not check_password("other", hashed)
    assert not check_password("x", "garbage")
