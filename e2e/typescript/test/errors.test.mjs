// Refusals: the client's error classes, the statuses and the codes.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import Cloudflare from 'cloudflare';

import * as h from '../support/hallpass.mjs';

const account_id = h.ACCOUNT;

const {
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
} = Cloudflare;

describe('errors', () => {
  const hallpass = h.useHallpass();
  const tokens = (client = hallpass.withToken()) => client.zeroTrust.access.serviceTokens;
  const list = (client) => tokens(client).list({ account_id });

  describe('400', () => {
    for (const duration of ['', '1d', '1 h', 'one year', '0', '0s', '-1h', '900000h', 'Forever']) {
      it(`answers the duration ${JSON.stringify(duration)}, and points at it`, async () => {
        for (const send of [
          () => tokens().create({ account_id, name: 'deploy', duration }),
          () => tokens().update(h.SERVICE_TOKEN, { account_id, duration }),
        ]) {
          const error = await h.refusal(send(), BadRequestError, 400, 12130);
          assert.equal(error.errors[0].source.pointer, '/duration');
          assert.match(error.errors[0].message, /^access\.api\.error\.invalid_request: ./);
          assert.match(error.errors[0].documentation_url, /docs\/errors\.md#./);
        }
        assert.equal((await h.all(list())).length, 1, 'nothing was made');
        const seeded = await tokens().get(h.SERVICE_TOKEN, { account_id });
        assert.equal(seeded.duration, '60m', 'nothing was changed');
      });
    }

    for (const [what, name] of [
      ['an empty name', ''],
      ['a name of blanks', '   '],
      ['a name with a control character', 'de\u0000ploy'],
      ['a name that is too long', 'x'.repeat(351)],
      ['a missing name', undefined],
    ]) {
      it(`answers ${what}, and points at it`, async () => {
        const error = await h.refusal(
          tokens().create({ account_id, name }),
          BadRequestError,
          400,
          12130,
        );
        assert.equal(error.errors[0].source.pointer, '/name');
      });
    }

    it('does not answer a name of 350 characters', async () => {
      const name = 'é'.repeat(350);
      assert.equal((await tokens().create({ account_id, name })).name, name);
    });

    it('names all that is wrong at once', async () => {
      const { errors } = await h.refusal(
        tokens().create({
          account_id,
          name: '',
          duration: '1d',
          previous_client_secret_expires_at: 'tomorrow',
        }),
        BadRequestError,
        400,
        12130,
      );

      assert.deepEqual(errors.map(({ source }) => source.pointer).sort(), [
        '/duration',
        '/name',
        '/previous_client_secret_expires_at',
      ]);
    });

    it('answers a request without credentials, or with half a pair', async () => {
      for (const credentials of [{}, { apiEmail: h.EMAIL }, { apiKey: h.API_KEY }]) {
        await h.refusal(list(hallpass.client(credentials)), BadRequestError, 400, 9106);
      }
    });

    it('answers a malformed Authorization header', async () => {
      for (const apiToken of ['two words', 'semi;colon', '"quoted"']) {
        const error = await h.refusal(
          list(hallpass.withToken(apiToken)),
          BadRequestError,
          400,
          6003,
        );
        assert.equal(error.errors[0].error_chain[0].code, 6111);
      }
    });

    it('answers a malformed id in the path', async () => {
      for (const send of [
        () => tokens().get('not-an-id', { account_id }),
        () => tokens().refresh('not-an-id', { account_id }),
        () => tokens().get(h.SERVICE_TOKEN, { account_id: 'not-an-id' }),
      ]) {
        await h.refusal(send(), BadRequestError, 400, 7003);
      }
    });
  });

  describe('401', () => {
    it('answers the verification of an unknown API token', async () => {
      await h.refusal(
        hallpass.withToken(h.UNKNOWN_API_TOKEN).user.tokens.verify(),
        AuthenticationError,
        401,
        1000,
      );
      await h.refusal(
        hallpass.withToken(h.UNKNOWN_API_TOKEN).accounts.tokens.verify({ account_id }),
        AuthenticationError,
        401,
        1000,
      );
    });
  });

  describe('403', () => {
    it('answers an unknown API token', async () => {
      const client = hallpass.withToken(h.UNKNOWN_API_TOKEN);

      await h.refusal(list(client), PermissionDeniedError, 403, 9109);
      await h.refusal(
        tokens(client).refresh(h.SERVICE_TOKEN, { account_id }),
        PermissionDeniedError,
        403,
        9109,
      );
    });

    it('answers a wrong e-mail address, or a wrong key, in the same words', async () => {
      const strangers = [
        { apiEmail: 'nobody@example.com', apiKey: h.API_KEY },
        { apiEmail: h.EMAIL, apiKey: '0123456789abcdef0123456789abcdef01234' },
      ];

      const [one, two] = await Promise.all(
        strangers.map((credentials) =>
          h.refusal(list(hallpass.client(credentials)), PermissionDeniedError, 403, 9103),
        ),
      );
      assert.deepEqual(one.error, two.error);
    });

    it('answers an API token that lacks the permission', async () => {
      const reader = await hallpass.withKey().accounts.tokens.create({
        account_id,
        name: 'reader',
        policies: [
          {
            effect: 'allow',
            permission_groups: [{ id: h.SERVICE_TOKENS_READ }],
            resources: { [`com.cloudflare.api.account.${account_id}`]: '*' },
          },
        ],
      });
      const api = tokens(hallpass.withToken(reader.value));
      const before = await api.get(h.SERVICE_TOKEN, { account_id });

      for (const send of [
        () => api.create({ account_id, name: 'deploy' }),
        () => api.update(h.SERVICE_TOKEN, { account_id, name: 'other' }),
        () => api.refresh(h.SERVICE_TOKEN, { account_id }),
        () => api.rotate(h.SERVICE_TOKEN, { account_id }),
        () => api.delete(h.SERVICE_TOKEN, { account_id }),
      ]) {
        await h.refusal(send(), PermissionDeniedError, 403, 10000);
      }
      assert.deepEqual(await h.all(api.list({ account_id })), [before], 'nothing was changed');
    });

    it('answers an account or a zone that is not the caller’s', async () => {
      for (const client of [hallpass.withToken(), hallpass.withKey()]) {
        for (const where of [{ account_id: h.OTHER_ACCOUNT }, { zone_id: h.OTHER_ACCOUNT }]) {
          const api = tokens(client);
          await h.refusal(api.list(where), PermissionDeniedError, 403, 10000);
          await h.refusal(
            api.create({ ...where, name: 'deploy' }),
            PermissionDeniedError,
            403,
            10000,
          );
          await h.refusal(api.get(h.SERVICE_TOKEN, where), PermissionDeniedError, 403, 10000);
        }
      }
    });
  });

  describe('404', () => {
    it('answers an unknown service token in the same words, whatever is asked of it', async () => {
      const api = tokens();
      const replies = [];
      for (const send of [
        () => api.get(h.UNKNOWN_ID, { account_id }),
        () => api.update(h.UNKNOWN_ID, { account_id, name: 'other' }),
        () => api.refresh(h.UNKNOWN_ID, { account_id }),
        () => api.rotate(h.UNKNOWN_ID, { account_id }),
        () => api.delete(h.UNKNOWN_ID, { account_id }),
      ]) {
        replies.push((await h.refusal(send(), NotFoundError, 404, 12135)).error);
      }

      assert.match(replies[0].errors[0].message, /access\.api\.error\.service_token_not_found/);
      for (const reply of replies) assert.deepEqual(reply, replies[0]);
    });

    it('answers an unknown route', async () => {
      const error = await h.refusal(
        hallpass.withToken().get(`/accounts/${account_id}/access/nothing_here`),
        NotFoundError,
        404,
        7003,
      );

      const more = [...error.errors.slice(1), ...(error.errors[0].error_chain ?? [])];
      assert.deepEqual(more.map(({ code }) => code), [7000]);
    });

    it('or 400 answers a path with an empty segment, which never reaches the token', async () => {
      const client = hallpass.withToken();
      for (const route of [
        `/zones//access/service_tokens/${h.SERVICE_TOKEN}`,
        `/accounts//access/service_tokens/${h.SERVICE_TOKEN}`,
        `/accounts/${account_id}/access//service_tokens/${h.SERVICE_TOKEN}`,
      ]) {
        const error = await client.delete(route).then(assert.fail, (reason) => reason);
        assert.ok([400, 404].includes(error.status), `${route}: ${error.message}`);
        assert.equal(error.errors[0].code, 7003);
      }
      const seeded = await tokens(client).get(h.SERVICE_TOKEN, { account_id });
      assert.equal(seeded.id, h.SERVICE_TOKEN);
    });
  });

  it('405 answers a method that a route does not know', async () => {
    const route = `/accounts/${account_id}/access/service_tokens/${h.SERVICE_TOKEN}`;

    await h.refusal(
      hallpass.withToken().patch(route, { body: { name: 'other' } }),
      APIError,
      405,
      10405,
    );
  });

  it('413 answers a body of more than 1 MiB', async () => {
    await h.refusal(
      tokens().create({ account_id, name: 'x'.repeat(1024 * 1024) }),
      APIError,
      413,
      12130,
    );
  });

  it('429 answers too many requests, and says when to come again', async () => {
    await hallpass.fail(429, { retry_after: 7 });
    const client = hallpass.withToken(h.API_TOKEN, { maxRetries: 0 });

    const error = await h.refusal(list(client), RateLimitError, 429, 971);

    assert.equal(error.headers.get('retry-after'), '7');
    assert.equal((await list(client)).result.length, 1, 'only the one request is refused');
  });

  it('500 answers when the server is at fault', async () => {
    await hallpass.fail(500);
    const client = hallpass.withToken(h.API_TOKEN, { maxRetries: 0 });

    await h.refusal(list(client), InternalServerError, 500, 10001);

    assert.equal((await list(client)).result.length, 1, 'only the one request is refused');
  });

  describe('do not come', () => {
    it('when both ways of authenticating are used at once', async () => {
      const both = { apiToken: h.API_TOKEN, apiEmail: h.EMAIL, apiKey: h.API_KEY };

      assert.equal((await list(hallpass.client(both))).result.length, 1);
    });

    it('when an empty API token stands beside a complete e-mail address and key', async () => {
      const client = hallpass.withKey({ defaultHeaders: { Authorization: 'Bearer ' } });

      assert.equal((await list(client)).result.length, 1);
    });
  });
});
