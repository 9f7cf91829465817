"""Lists of service tokens: pages, order and filters."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

import harness as h

in_account = {"account_id": h.ACCOUNT}


def ids(found) -> list[str]:
    return [token.id for token in found]


@pytest.fixture
def make(hallpass, tokens):
    """Makes tokens one second apart, and returns all ids, newest first."""

    def make(*names: str) -> list[str]:
        made = [h.SERVICE_TOKEN]
        for name in names:
            hallpass.advance("1s")
            made.insert(0, tokens.create(**in_account, name=name).id)
        return made

    return make


def test_pages_come_newest_first_and_end_at_the_first_empty_one(hallpass, make):
    expected = make("one", "two", "three", "four", "five")
    recorder = h.Recorder()
    api = hallpass.with_token(http_client=recorder.http_client).zero_trust.access.service_tokens

    found = list(api.list(**in_account, per_page=2))

    assert ids(found) == expected
    pages = [request.url.params.get("page") for request in recorder.requests]
    assert pages == [None, "2", "3", "4"]


def test_every_one_of_many_tokens_is_brought_exactly_once(tokens):
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(lambda i: tokens.create(**in_account, name=f"token {i}"), range(60))
    expected = sorted([*ids(made), h.SERVICE_TOKEN])

    found = list(tokens.list(**in_account, per_page=7))

    assert sorted(ids(found)) == expected
    first = tokens.list(**in_account)
    assert sorted(ids(first.result)) == expected, "the first default page holds them all"


def test_a_page_says_where_it_is(tokens, make):
    make("one", "two", "three", "four")

    second = tokens.list(**in_account, page=2, per_page=2)
    assert h.plain(second.result_info) == {
        "page": 2,
        "per_page": 2,
        "count": 2,
        "total_count": 5,
        "total_pages": 3,
    }
    assert len(second.result) == 2

    usual = tokens.list(**in_account)
    assert h.plain(usual.result_info) == {
        "page": 1,
        "per_page": 1000,
        "count": 5,
        "total_count": 5,
        "total_pages": 1,
    }


def test_a_page_beyond_the_last_is_empty_and_not_an_error(tokens):
    beyond = tokens.list(**in_account, page=9)

    assert beyond.result == []
    assert beyond.has_next_page() is False
    assert beyond.result_info.total_count == 1


def test_page_0_and_per_page_0_mean_not_given(tokens):
    page = tokens.list(**in_account, page=0, per_page=0)

    assert ids(page.result) == [h.SERVICE_TOKEN]
    assert page.result_info.page == 1
    assert page.result_info.per_page == 1000


def test_a_page_is_never_longer_than_1000(tokens):
    page = tokens.list(**in_account, per_page=5000)

    assert page.result_info.per_page == 1000


def test_the_name_filter_wants_the_exact_name(tokens, make):
    second, _, first, _ = make("deploy", "deploy-2", "deploy")

    assert ids(tokens.list(**in_account, name="deploy")) == [second, first]
    assert list(tokens.list(**in_account, name="deplo")) == []
    assert list(tokens.list(**in_account, name="CI/CD")) == []
    assert ids(tokens.list(**in_account, name="CI/CD token")) == [h.SERVICE_TOKEN]


def test_the_search_finds_a_part_of_the_name_in_upper_or_lower_case(tokens, make):
    build, second, first, _ = make("deploy", "Deploy to production", "build 100%")

    def search(text: str) -> list[str]:
        return ids(tokens.list(**in_account, search=text))

    assert search("DEPLOY") == [second, first]
    assert search("ploy to") == [second]
    assert search("0%") == [build]
    assert search("%") == [build], "a wildcard is an ordinary character"
    assert search("_") == []
    assert search("nothing like it") == []


def test_filters_and_pages_work_at_the_same_time(tokens, make):
    three, _, two, _, one, _ = make("bot 1", "x", "bot 2", "y", "bot 3")

    found = list(tokens.list(**in_account, search="bot", per_page=1))

    assert ids(found) == [three, two, one]
