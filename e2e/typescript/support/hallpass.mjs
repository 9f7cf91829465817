// Starts the real binary as an emulator, and connects the stock client to it.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, beforeEach } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import Cloudflare from 'cloudflare';

// What `hallpass dev` starts with: the ids and credentials of the published examples.
export const ACCOUNT = '023e105f4ecef8ad9ca31a8372d0c353';
export const ZONE = '023e105f4ecef8ad9ca31a8372d0c353';
export const EMAIL = 'user@example.com';
export const API_KEY = '144c9defac04969c7bfad8efaa8ea194';
export const API_TOKEN = 'Sn3lZJTBX6kkg7OdcBUAxOO963GEIyGQqnFTOFYY';
export const SERVICE_TOKEN = 'f174e90a-fafe-4643-bbbc-4a0ed4fc8415';
export const CLIENT_ID = '88bf3b6d86161464f6509f7219099e57.access.example.com';
export const CLIENT_SECRET = 'bdd31cbc4dec990953e39163fbbb194c93313ca9f0a6e420346af9d326b1d2a5';

// Well formed, and nobody's.
export const UNKNOWN_API_TOKEN = 'AbCdEfGhIjKlMnOpQrStUvWxYz0123456789_-aB';
export const UNKNOWN_ID = '00000000-0000-4000-8000-000000000000';
export const OTHER_ACCOUNT = '11111111111111111111111111111111';

// Permission groups have the same ids everywhere.
export const SERVICE_TOKENS_READ = '91f7ce32fa614d73b7e1fc8f0e78582b';
export const SERVICE_TOKENS_WRITE = 'a1c0fec57cf94af79479a6d827fa518c';
export const ACCOUNT_API_TOKENS_READ = 'eb56a6953c034b9d97dd838155666f06';
export const ACCOUNT_API_TOKENS_WRITE = '5bc3f8b21c554832afc660159ab75fa4';
export const DNS_READ = '82e64a83756745bbbb1c9c2701bf816b';

// Nothing of the person who runs the tests may reach the client: no credential, no proxy.
for (const name of Object.keys(process.env)) {
  if (/^(CLOUDFLARE_|CF_)/.test(name) || /_proxy$/i.test(name)) delete process.env[name];
}

const SUITE = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
export const BINARY = path.resolve(SUITE, process.env.HALLPASS_BIN ?? '../../target/debug/hallpass');
const START_TIMEOUT = 30_000;

class Hallpass {
  api;
  baseURL;
  gate;
  #child;
  #exited;
  #said = '';

  async start() {
    const directory = await mkdtemp(path.join(tmpdir(), 'hallpass-e2e-'));
    const readyFile = path.join(directory, 'ready.json');
    try {
      this.#child = spawn(BINARY, ['dev', '--listen', '127.0.0.1:0', '--ready-file', readyFile], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      this.#exited = new Promise((resolve) => {
        this.#child.once('error', (error) => resolve(`could not be started: ${error.message}`));
        this.#child.once('exit', (code, signal) => resolve(`ended with ${signal ?? `status ${code}`}`));
      });
      for (const stream of [this.#child.stdout, this.#child.stderr]) {
        stream.on('data', (chunk) => (this.#said = (this.#said + chunk).slice(-20_000)));
      }
      process.once('exit', () => this.#child.kill('SIGKILL'));

      const addresses = await this.#ready(readyFile);
      this.api = addresses.api;
      this.baseURL = addresses.base_url;
      this.gate = addresses.gate;
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  async #ready(readyFile) {
    let ended;
    this.#exited.then((how) => (ended = how));
    const deadline = Date.now() + START_TIMEOUT;
    while (ended === undefined && Date.now() < deadline) {
      const text = await readFile(readyFile, 'utf8').catch(() => undefined);
      if (text !== undefined) return JSON.parse(text);
      await sleep(20);
    }
    await this.stop();
    throw new Error(`${BINARY} ${ended ?? 'did not become ready'}\n${this.#said}`);
  }

  async stop() {
    this.#child?.kill('SIGTERM');
    const patience = new AbortController();
    const ended = await Promise.race([
      this.#exited,
      sleep(10_000, undefined, { signal: patience.signal }).catch(() => undefined),
    ]);
    patience.abort();
    if (ended === undefined) {
      this.#child.kill('SIGKILL');
      await this.#exited;
    }
  }

  // The emulator's own controls.

  async #dev(method, name, body) {
    const response = await fetch(`${this.api}/dev/${name}`, {
      method,
      headers: { 'Content-Type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    assert.equal(response.status, 200, `/dev/${name} said: ${text}`);
    return JSON.parse(text).result;
  }

  /** Back to the seeded state and to the real clock. */
  reset() {
    return this.#dev('POST', 'reset', {});
  }

  /** What the server takes for now, in milliseconds. */
  async now() {
    return instant((await this.#dev('GET', 'clock')).now);
  }

  /** Moves the server's clock forward, by a duration such as `8760h`. */
  advance(duration) {
    return this.#dev('POST', 'clock', { advance: duration });
  }

  /** Sets the server's clock. */
  setClock(to) {
    return this.#dev('POST', 'clock', { set: to });
  }

  /** Makes the next reply of the API (or the next few) an error. */
  fail(status, more = {}) {
    return this.#dev('POST', 'faults', { status, ...more });
  }

  // The stock client.

  /** A client with exactly the given options; without credentials among them it sends none. */
  client(options = {}) {
    return new Cloudflare({
      baseURL: this.baseURL,
      timeout: 20_000,
      apiToken: null,
      apiKey: null,
      apiEmail: null,
      ...options,
    });
  }

  /** A client which authenticates with an API token: the seeded one, unless told otherwise. */
  withToken(apiToken = API_TOKEN, options = {}) {
    return this.client({ apiToken, ...options });
  }

  /** A client which authenticates with an e-mail address and a global key. */
  withKey(options = {}) {
    return this.client({ apiEmail: EMAIL, apiKey: API_KEY, ...options });
  }
}

/** One emulator for the tests of a `describe`, as new before each of them. */
export function useHallpass() {
  const hallpass = new Hallpass();
  before(() => hallpass.start());
  beforeEach(() => hallpass.reset());
  after(() => hallpass.stop());
  return hallpass;
}

/** A `fetch` for a client, and a list of the requests that went through it. */
export function recorder(send = fetch) {
  const requests = [];
  return {
    requests,
    fetch(url, init) {
      const { pathname, search } = new URL(url);
      const retry = new Headers(init.headers).get('x-stainless-retry-count');
      requests.push({ method: init.method, path: pathname, query: search, retry });
      return send(url, init);
    },
  };
}

/** Waits for a refusal, checks its class, status, code and form, and returns it. */
export async function refusal(promise, kind, status, code) {
  const error = await promise.then(
    (reply) => assert.fail(`expected ${status}/${code}, and got ${JSON.stringify(reply)}`),
    (reason) => reason,
  );
  assert.ok(error instanceof Cloudflare.APIError, `expected ${status}/${code}, and got ${error}`);
  assert.equal(error.constructor, kind, `expected ${kind.name}, and got ${error}`);
  assert.equal(error.status, status, error.message);
  assert.equal(error.errors[0].code, code, error.message);
  assert.match(error.headers.get('content-type'), /^application\/json/);
  assert.equal(error.error.success, false);
  assert.equal(error.error.result, null);
  assert.deepEqual(error.error.messages, []);
  return error;
}

export function instant(text) {
  const milliseconds = Date.parse(text);
  assert.ok(Number.isFinite(milliseconds), `not a time: ${text}`);
  return milliseconds;
}

export const hours = (n) => n * 3_600_000;
export const minutes = (n) => n * 60_000;

/** A time is what is expected, give or take what the test itself may have needed. */
export function assertNear(actual, expected, tolerance = 15_000) {
  const [a, e] = [actual, expected].map((t) => (typeof t === 'string' ? instant(t) : t));
  const text = (t) => new Date(t).toISOString();
  assert.ok(Math.abs(a - e) <= tolerance, `expected about ${text(e)}, and got ${text(a)}`);
}

/** A new secret: a prefix that tells its kind, 40 alphanumerics, and their CRC-32. */
export function assertMinted(secret, prefix) {
  assert.match(secret, new RegExp(`^${prefix}_[0-9A-Za-z]{40}[0-9a-f]{8}$`));
  const body = secret.slice(prefix.length + 1, -8);
  assert.equal(secret.slice(-8), crc32(body).toString(16).padStart(8, '0'));
}

function crc32(text) {
  let crc = ~0;
  for (const byte of Buffer.from(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

/** All elements that the client's own paging brings. */
export async function all(pages) {
  const found = [];
  for await (const element of pages) found.push(element);
  return found;
}
