// Lists of service tokens: pages, order and filters.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as h from '../support/hallpass.mjs';

const account_id = h.ACCOUNT;

describe('lists of service tokens', () => {
  const hallpass = h.useHallpass();
  const tokens = (client = hallpass.withToken()) => client.zeroTrust.access.serviceTokens;
  const ids = (found) => found.map(({ id }) => id);

  /** Makes tokens one second apart, and returns all ids, newest first. */
  async function make(names) {
    const made = [h.SERVICE_TOKEN];
    for (const name of names) {
      await hallpass.advance('1s');
      made.unshift((await tokens().create({ account_id, name })).id);
    }
    return made;
  }

  it('come page by page, newest first, and end at the first empty page', async () => {
    const expected = await make(['one', 'two', 'three', 'four', 'five']);
    const { requests, fetch } = h.recorder();
    const api = tokens(hallpass.withToken(h.API_TOKEN, { fetch }));

    const found = await h.all(api.list({ account_id, per_page: 2 }));

    assert.deepEqual(ids(found), expected);
    assert.deepEqual(
      requests.map(({ query }) => new URLSearchParams(query).get('page')),
      [null, '2', '3', '4'],
    );
  });

  it('bring every one of many tokens exactly once', async () => {
    const api = tokens();
    const made = await Promise.all(
      Array.from({ length: 60 }, (_, i) => api.create({ account_id, name: `token ${i}` })),
    );
    const expected = ids(made).concat(h.SERVICE_TOKEN).sort();

    const found = await h.all(api.list({ account_id, per_page: 7 }));

    assert.deepEqual(ids(found).sort(), expected);
    const first = await api.list({ account_id });
    assert.deepEqual(ids(first.result).sort(), expected, 'the first default page holds them all');
  });

  it('say where they are', async () => {
    await make(['one', 'two', 'three', 'four']);
    const api = tokens();

    const second = await api.list({ account_id, page: 2, per_page: 2 });
    assert.deepEqual(second.result_info, {
      page: 2,
      per_page: 2,
      count: 2,
      total_count: 5,
      total_pages: 3,
    });
    assert.equal(second.result.length, 2);

    const usual = await api.list({ account_id });
    assert.deepEqual(usual.result_info, {
      page: 1,
      per_page: 1000,
      count: 5,
      total_count: 5,
      total_pages: 1,
    });
  });

  it('are empty beyond the last page, and not an error', async () => {
    const beyond = await tokens().list({ account_id, page: 9 });

    assert.deepEqual(beyond.result, []);
    assert.equal(beyond.hasNextPage(), false);
    assert.equal(beyond.result_info.total_count, 1);
  });

  it('take page 0 and per_page 0 for "not given"', async () => {
    const page = await tokens().list({ account_id, page: 0, per_page: 0 });

    assert.deepEqual(ids(page.result), [h.SERVICE_TOKEN]);
    assert.equal(page.result_info.page, 1);
    assert.equal(page.result_info.per_page, 1000);
  });

  it('are never longer than 1000', async () => {
    const page = await tokens().list({ account_id, per_page: 5000 });

    assert.equal(page.result_info.per_page, 1000);
  });

  it('filter by the exact name', async () => {
    const [second, , first] = await make(['deploy', 'deploy-2', 'deploy']);
    const api = tokens();

    assert.deepEqual(ids(await h.all(api.list({ account_id, name: 'deploy' }))), [second, first]);
    assert.deepEqual(await h.all(api.list({ account_id, name: 'deplo' })), []);
    assert.deepEqual(await h.all(api.list({ account_id, name: 'CI/CD' })), []);
    assert.deepEqual(ids(await h.all(api.list({ account_id, name: 'CI/CD token' }))), [
      h.SERVICE_TOKEN,
    ]);
  });

  it('search for a part of the name, in upper or lower case', async () => {
    const [build, second, first] = await make(['deploy', 'Deploy to production', 'build 100%']);
    const api = tokens();
    const search = async (text) => ids(await h.all(api.list({ account_id, search: text })));

    assert.deepEqual(await search('DEPLOY'), [second, first]);
    assert.deepEqual(await search('ploy to'), [second]);
    assert.deepEqual(await search('0%'), [build]);
    assert.deepEqual(await search('%'), [build], 'a wildcard is an ordinary character');
    assert.deepEqual(await search('_'), []);
    assert.deepEqual(await search('nothing like it'), []);
  });

  it('filter and page at the same time', async () => {
    const [three, , two, , one] = await make(['bot 1', 'x', 'bot 2', 'y', 'bot 3']);
    const api = tokens();

    const found = await h.all(api.list({ account_id, search: 'bot', per_page: 1 }));

    assert.deepEqual(ids(found), [three, two, one]);
  });
});
