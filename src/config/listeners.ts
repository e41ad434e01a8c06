// Where a server listens: callers have one address, operators another one.

import { isIP } from 'node:net'
import type { Problem } from '../base/problem.ts'
import { LISTEN_AUTO, LISTEN_OFF, parsePlace, PORT_MAX } from './listen-kind.ts'
import type { LoadedConfig } from './load.ts'
import { type Config, SETTINGS } from './settings.ts'

/** Who a listener is for. */
export type ListenerKind = 'callers' | 'operators'

/** One address that a server listens at. */
export interface Listener {
  readonly kind: ListenerKind
  readonly host: string
  /** 0 for any free port. */
  readonly port: number
}

const WILDCARDS: ReadonlySet<string> = new Set(['0.0.0.0', '::', ''])

/** A value for each kind. */
export const byKind = <T>(make: (kind: ListenerKind) => T): Readonly<Record<ListenerKind, T>> =>
  ({ callers: make('callers'), operators: make('operators') })

/** The listener of a kind, if there is one. */
export const ofKind = (listeners: readonly Listener[], kind: ListenerKind): Listener | undefined =>
  listeners.find((each) => each.kind === kind)

/** `127.0.0.1:4000`, `[::1]:4000` */
export const showPlace = ({ host, port }: Omit<Listener, 'kind'>): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`

/** For messages: `127.0.0.1:4000, and for operators on 127.0.0.1:4001` */
export const showListeners = (listeners: readonly Listener[]): string => listeners
  .map((each) => (each.kind === 'operators' ? 'for operators on ' : '') + showPlace(each))
  .join(', and ')

/** The listeners of a configuration, the callers' first. */
export function listenersOf(
  { host, operateListen, port }: Pick<Config, 'host' | 'operateListen' | 'port'>,
): readonly Listener[] {
  const callers: Listener = { kind: 'callers', host, port }
  if (operateListen === LISTEN_OFF) return [callers]
  const place = operateListen === LISTEN_AUTO
    ? { host: '127.0.0.1', port: port === 0 ? 0 : port + 1 }
    : parsePlace(operateListen)
  return place === undefined ? [callers] : [callers, { kind: 'operators', ...place }]
}

/** What is wrong with two listeners that are each valid. */
export function listenerProblems({ config, origins }: LoadedConfig): readonly Problem[] {
  const listeners = listenersOf(config)
  const operators = ofKind(listeners, 'operators')
  const expected = operators === undefined ? undefined
    : operators.port > PORT_MAX ? `HOST:PORT or off, since no port follows ${config.port}`
      : areOne(operators, config) ? 'another port than that of the callers, or off' : undefined
  return expected === undefined ? [] : [{
    key: SETTINGS.operateListen.key, source: origins.operateListen,
    given: config.operateListen, expected,
  }]
}

const areOne = (one: Omit<Listener, 'kind'>, other: Omit<Listener, 'kind'>): boolean =>
  one.port !== 0 && one.port === other.port &&
  (one.host === other.host || WILDCARDS.has(one.host) || WILDCARDS.has(other.host))

/** Whether a listener on this host can be reached from its own machine only. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
