"""The codes of errors are a contract with callers: renaming a class must not change one unnoticed."""

from __future__ import annotations

from features.errors import Malformed, Refused, RiskgateError
from serving import errors

#: docs/integrate.md says what a caller does about each.
IN_REPLIES = {
    "unauthorised", "forbidden", "foreign_caller", "unread_type", "unknown_transaction", "unknown_route",
    "wrong_method", "conflict", "slow_body", "too_large", "too_many_requests", "overloaded", "ledger_unavailable",
    "state_unavailable", "broken_receipt", "unread_coding", "unknown_list", "batch_too_large",
}  # fmt: skip


def test_the_codes_of_replies_are_those_of_the_contract() -> None:
    of_service = {
        one.code
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.ServiceError) and one is not errors.ServiceError
    }
    assert of_service == IN_REPLIES
    assert (Malformed.code, Refused.code) == ("malformed", "invalid")


def test_a_code_is_the_name_of_its_class_unless_the_class_says_otherwise() -> None:
    class TwoWords(RiskgateError):
        """Named by its class."""

    class Other(TwoWords):
        """Named by itself."""

        code = "by_itself"

    assert (TwoWords.code, Other.code, TwoWords("", "").code) == ("two_words", "by_itself", "two_words")
