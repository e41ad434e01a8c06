// The one table of settings. Flags, environment variables, YAML keys, help texts, `sluice config`
// and the type Config are derived from it; a new setting is a new entry here.

import type { z } from 'zod'
import { KIB, MIB } from '../../shards/base/units.ts'
import * as engine from '../../shards/memory/limits.ts'
import * as clients from '../base/client-limits.ts'
import * as limits from '../base/limits.ts'
import { egressKind } from './egress-kind.ts'
import { hostKind } from './host-kind.ts'
import { jwksKind, optionalWord, tenantsKind } from './jwt-kinds.ts'
import {
  type Kind, choice, duration, folder, hostNames, path, servers, size, toggle, wholeNumber, word,
} from './kinds.ts'
import { LISTEN_AUTO, listenKind, PORT_MAX } from './listen-kind.ts'
import type { Machine } from './machine.ts'
import { rangesKind } from './range-kind.ts'
import {
  type UpstreamRules, accountQueueKind, concurrentKind, receiverTableKind, rpsKind, timeoutKind,
  upstreamTableKind,
} from './upstream-table.ts'

/** One setting: where it can be given, which values it takes, and its default. */
export interface Setting<T = unknown> {
  /** Without the dashes. */
  readonly flag: string
  readonly env: string
  /** The path in the YAML file, separated by dots. */
  readonly key: string
  readonly kind: Kind<T>
  readonly fallback: (machine: Machine) => T
  readonly description: string
  /** How the help text shows a default that depends on the machine. */
  readonly fallbackText?: string
}

const JOURNAL_MODES = ['off', 'interval', 'always'] as const
const DNS_MODES = ['direct', 'system'] as const
const KEY_MISMATCHES = ['reject', 'duplicate'] as const
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const PORT_DEFAULT = 4000
const GRACE_MS_DEFAULT = 30_000
const MEMORY_BYTES_SETTING_MAX = 64 * 1024 ** 4

/** An entry whose environment variable and YAML key follow from its flag. */
function setting<T>(
  flag: string, kind: Kind<T>, fallback: T | ((machine: Machine) => T), description: string,
  other: { key?: string; fallbackText?: string } = {},
): Setting<T> {
  const snake = flag.replaceAll('-', '_')
  return {
    flag, kind, description,
    env: `SLUICE_${snake.toUpperCase()}`,
    key: other.key ?? snake,
    fallback: typeof fallback === 'function' ? fallback as (machine: Machine) => T : () => fallback,
    ...(other.fallbackText === undefined ? {} : { fallbackText: other.fallbackText }),
  }
}

const kept = size(KIB, engine.BODY_LIMIT_BYTES_MAX)
const ttl = duration(1000, 7 * DAY_MS)

export const SETTINGS = {
  host: setting('host', hostKind, '127.0.0.1',
    'address to listen on; 0.0.0.0 for every IPv4 address of the machine'),
  port: setting('port', wholeNumber(0, PORT_MAX), PORT_DEFAULT,
    'port to listen on; 0 picks a free one'),
  operateListen: setting('operate-listen', listenKind, LISTEN_AUTO,
    'address and port for operators, who get /health in full there; off for none',
    { fallbackText: '127.0.0.1 and the port after --port' }),
  insecureNoAuth: setting('insecure-no-auth', toggle(true), false,
    'answer everybody without a key, wherever the server listens'),
  allowedHosts: setting('allowed-hosts', hostNames(), [],
    'while there are no keys: names, besides localhost, by which the server may be addressed',
    { fallbackText: 'none' }),
  trustedProxies: setting('trusted-proxies', rangesKind, [],
    'proxies whose Forwarded and X-Forwarded-For headers are believed: addresses and ranges',
    { fallbackText: 'none' }),
  shards: setting('shards', wholeNumber(1, limits.SHARDS_MAX),
    ({ cores }) => Math.min(limits.SHARDS_MAX, Math.max(1, cores - 1)),
    'worker threads that hold and send jobs',
    { fallbackText: 'processors minus one, at least 1' }),
  memoryBytes: setting('memory', size(MIB, MEMORY_BYTES_SETTING_MAX),
    ({ memoryBytes }) => Math.floor(memoryBytes / 2),
    'memory for jobs and their indexes, all shards together',
    { fallbackText: 'half of what the machine or container has' }),
  touch: setting('touch', toggle(true), false,
    'take all of that memory from the system at the start, not as it fills'),
  data: setting('data', folder('the path of a folder'), 'sluice-data',
    'folder of the journal; created if it does not exist, and used by one process only'),
  journal: setting('journal', choice(JOURNAL_MODES, '<mode>'), 'interval',
    'off: jobs are in memory only; interval: a crash of the machine may lose the jobs of the ' +
    'last interval; always: a job is on disk before it is accepted'),
  journalIntervalMs: setting('journal-interval',
    duration(limits.JOURNAL_INTERVAL_MS_MIN, limits.JOURNAL_INTERVAL_MS_MAX),
    limits.JOURNAL_INTERVAL_MS_DEFAULT, 'that interval, with --journal interval'),
  bodyBytesMax: setting('body-limit', kept, limits.BODY_BYTES_MAX_DEFAULT,
    'largest request body, and so the largest job'),
  responseBytesMax: setting('response-limit', kept, limits.RESPONSE_BYTES_MAX_DEFAULT,
    'how much of an upstream\'s response body is kept; the rest is cut off'),
  batchJobsMax: setting('batch-limit', wholeNumber(1, limits.BATCH_JOBS_LIMIT_MAX),
    limits.BATCH_JOBS_MAX_DEFAULT, 'most jobs in one POST /jobs/batch'),
  socketIdleMs: setting('socket-idle',
    duration(limits.SOCKET_IDLE_MS_MIN, limits.SOCKET_IDLE_MS_MAX), limits.SOCKET_IDLE_MS_DEFAULT,
    'how long a WebSocket may be silent, pings unanswered, before it is closed'),
  clientConnectionsMax: setting('client-connections',
    wholeNumber(clients.CLIENT_CONNECTIONS_MIN, clients.CLIENT_CONNECTIONS_MAX),
    ({ descriptors }) => Math.min(clients.CLIENT_CONNECTIONS_DEFAULT_MAX, Math.max(
      clients.CLIENT_CONNECTIONS_MIN, Math.floor((descriptors - clients.DESCRIPTORS_OWN) / 2))),
    'connections of clients, WebSockets included; above three quarters of it, each is closed ' +
    'with its next answer',
    { fallbackText: 'half of the file descriptors that the process may have' }),
  clientBytesMax: setting('client-memory', size(clients.CLIENT_BYTES_MIN, clients.CLIENT_BYTES_MAX),
    ({ memoryBytes }) => Math.min(clients.CLIENT_BYTES_DEFAULT_MAX,
      Math.max(clients.CLIENT_BYTES_MIN,
        Math.floor(memoryBytes * clients.CLIENT_BYTES_PER_MILLE_DEFAULT / 1000))),
    'memory for requests that are not complete and answers that are not read',
    { fallbackText: '6 % of what the machine or container has, 32 to 512 MiB' }),
  graceMs: setting('grace', duration(0, HOUR_MS), GRACE_MS_DEFAULT,
    'how long a stop waits for requests in flight'),
  completedTtlMs: setting('completed-ttl', ttl, limits.COMPLETED_TTL_MS_DEFAULT,
    'how long completed and cancelled jobs are kept'),
  failedTtlMs: setting('failed-ttl', ttl, limits.FAILED_TTL_MS_DEFAULT,
    'how long failed jobs are kept'),
  keyMismatch: setting('key-mismatch', choice(KEY_MISMATCHES, '<answer>'), 'reject',
    'for a known key with another method, URL or body: reject: answer 422; duplicate: answer ' +
    '200 as if they were the same'),
  connectionsPerOriginMax: setting('connections', wholeNumber(1, engine.IN_FLIGHT_PER_SHARD_MAX),
    limits.CONNECTIONS_PER_ORIGIN_MAX_DEFAULT,
    'connections to one origin, per shard'),
  connectTimeoutMs: setting('connect-timeout',
    duration(limits.CONNECT_TIMEOUT_MS_MIN, limits.CONNECT_TIMEOUT_MS_MAX),
    engine.CONNECT_TIMEOUT_MS_DEFAULT,
    'how long connecting may take, DNS and TLS included, within the time for one attempt'),
  control: setting('control', path('the path of a socket file'), '',
    'path of the control socket, which `sluice reload` and `sluice drain` connect to',
    { fallbackText: 'control.sock in the data folder; without one, in the runtime folder' }),
  keysFile: setting('keys-file', path('the path of a file'), '',
    'file of the API keys, which `sluice keys` writes',
    { fallbackText: 'keys.json in the data folder' }),
  caFile: setting('ca-file', path('the path of a file with PEM certificates'), '',
    'certificate authorities to trust besides the built-in ones'),
  dns: setting('dns', choice(DNS_MODES, '<mode>'), 'direct',
    'direct: names are resolved at the name servers of resolv.conf, after the hosts file; ' +
    'system: by the system\'s resolver, few at a time'),
  dnsServers: setting('dns-servers', servers(), [],
    'name servers to ask instead of those in resolv.conf', { fallbackText: 'resolv.conf\'s' }),
  egressAllow: setting('egress-allow', egressKind, [],
    'where requests may go besides public addresses, when the server listens beyond loopback',
    { key: 'egress.allow', fallbackText: 'none' }),
  egressDeny: setting('egress-deny', egressKind, [],
    'where no request may go, whatever else is allowed',
    { key: 'egress.deny', fallbackText: 'none' }),
  jwtJwks: setting('jwt-jwks', jwksKind, '',
    'key set that JSON Web Tokens are verified with: a file, or a URL that it is fetched from',
    { key: 'jwt.jwks', fallbackText: 'none: no token is accepted' }),
  jwtIssuer: setting('jwt-issuer', optionalWord('the issuer of tokens', '<issuer>'), '',
    'the claim iss that tokens must have', { key: 'jwt.issuer' }),
  jwtAudience: setting('jwt-audience', optionalWord('the audience of tokens', '<audience>'), '',
    'the claim aud that tokens must have', { key: 'jwt.audience' }),
  jwtClockSkewMs: setting('jwt-clock-skew', duration(0, limits.JWT_CLOCK_SKEW_MS_MAX),
    limits.JWT_CLOCK_SKEW_MS_DEFAULT, 'by how much the clock of the issuer may be wrong',
    { key: 'jwt.clock_skew' }),
  jwtTenantClaim: setting('jwt-tenant-claim', optionalWord('the name of a claim', '<claim>'),
    'tenant', 'claim with the tenant: its number, or a name in jwt.tenants; none: all are tenant 0',
    { key: 'jwt.tenant_claim' }),
  jwtScopesClaim: setting('jwt-scopes-claim', word('the name of a claim', '<claim>'), 'scope',
    'claim with the scopes: text with blanks between them, or a list',
    { key: 'jwt.scopes_claim' }),
  jwtUserClaim: setting('jwt-user-claim', optionalWord('the name of a claim', '<claim>'), '',
    'claim with the user of all jobs of a token; none: each job names its user',
    { key: 'jwt.user_claim' }),
  jwtTenants: setting<Readonly<Record<string, number>>>('jwt-tenants', tenantsKind, {},
    'numbers of tenants by the names that tokens have for them',
    { key: 'jwt.tenants', fallbackText: 'none' }),
  upstreamsOnly: setting('upstreams-only', toggle(true), false,
    'send only to hosts in upstreams and webhooks.receivers'),
  logFile: setting('log-file', path('the path of a file'), '',
    'file to append the log to; reopened on SIGUSR1', { fallbackText: 'standard error' }),
  logLevel: setting('log-level', choice(LOG_LEVELS, '<level>'), 'info',
    `least severe lines that are logged: ${LOG_LEVELS.join(', ')}`),
  defaultRps: setting('default-rps', rpsKind, limits.PACE_PER_SECOND_DEFAULT,
    'requests per second to an upstream that has announced nothing', { key: 'defaults.rps' }),
  defaultMaxConcurrent: setting('default-max-concurrent', concurrentKind,
    limits.CONCURRENT_DEFAULT,
    'requests in flight to an upstream that has announced nothing',
    { key: 'defaults.max_concurrent' }),
  defaultAccountQueue: setting('default-account-queue', accountQueueKind, false,
    'whether each account has a budget of its own until the upstream says otherwise',
    { key: 'defaults.account_queue' }),
  defaultAccountQueueByCaller: setting('default-account-queue-by-caller', accountQueueKind, false,
    'whether callers may switch account queues on, by a header of the request that submits a job',
    { key: 'defaults.account_queue_by_caller' }),
  defaultTimeoutMs: setting('default-timeout', timeoutKind, limits.ATTEMPT_TIMEOUT_MS_DEFAULT,
    'how long one attempt may take, response included', { key: 'defaults.timeout_ms' }),
  webhookRps: setting('webhook-rps', rpsKind, limits.WEBHOOK_PACE_PER_SECOND_DEFAULT,
    'webhooks per second to one receiver', { key: 'webhooks.rps' }),
  webhookMaxConcurrent: setting('webhook-max-concurrent', concurrentKind,
    limits.WEBHOOK_CONCURRENT_DEFAULT,
    'webhooks in flight to one receiver', { key: 'webhooks.max_concurrent' }),
  webhookTimeoutMs: setting('webhook-timeout', timeoutKind, limits.WEBHOOK_TIMEOUT_MS_DEFAULT,
    'how long the delivery of one webhook may take', { key: 'webhooks.timeout_ms' }),
  webhookRetryAfterMsMax: setting('webhook-retry-after-max', duration(0, DAY_MS),
    limits.WEBHOOK_RETRY_AFTER_MS_MAX_DEFAULT,
    'longest wait that a receiver may ask for with Retry-After',
    { key: 'webhooks.retry_after_max' }),
  upstreams: setting<UpstreamRules>('upstreams', upstreamTableKind, {},
    'settings of single upstreams by host or host:port: rps, max_concurrent, account_queue, ' +
    'account_queue_by_caller, timeout_ms', { fallbackText: 'none' }),
  webhookReceivers: setting<UpstreamRules>('webhook-receivers', receiverTableKind, {},
    'settings of single webhook receivers by host or host:port: rps, max_concurrent, timeout_ms',
    { key: 'webhooks.receivers', fallbackText: 'none' }),
} as const

export type SettingName = keyof typeof SETTINGS

/** Every setting's value, checked. */
export type Config = {
  readonly [Name in SettingName]: z.infer<(typeof SETTINGS)[Name]['kind']['schema']>
}

/** The table's entries, for code that treats all settings alike. */
export const SETTING_ENTRIES =
  Object.entries(SETTINGS) as unknown as ReadonlyArray<readonly [SettingName, Setting]>

/** The environment variable that names the configuration file. */
export const CONFIG_FILE_ENV = 'SLUICE_CONFIG'
/** The server that commands connect to; not a setting of a server. */
export const SERVER_ENV = 'SLUICE_SERVER'
/** The API key that commands present; not a setting of a server. */
export const KEY_ENV = 'SLUICE_KEY'
/** Read from the working directory if it exists and no other file is named. */
export const CONFIG_FILE_DEFAULT = 'sluice.yaml'
