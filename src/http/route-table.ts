// The one table of routes: which paths a server has, on which listeners, and what a request there
// has to be allowed to do. The server's routes, the Allow header and the handlers' type are derived
// from it; a new route is a new entry here.

import type { Asked, RouteScope } from '../access/authenticator.ts'
import { byKind, type ListenerKind } from '../config/listeners.ts'

export type Method = 'GET' | 'HEAD' | 'POST' | 'DELETE'

/** One route. */
interface Route {
  /** The name of its handler. */
  readonly name: string
  /** Empty: every method. */
  readonly methods: readonly Method[]
  /** A pattern of the HTTP library: `:id` is one segment, `/*` is everything. */
  readonly path: string
  /** What the principal has to be allowed to do. */
  readonly scope: RouteScope
  /** The kinds of listeners that have the route. */
  readonly listeners: readonly ListenerKind[]
}

const CALLERS = ['callers'] as const
const EVERYONE = ['callers', 'operators'] as const

export const ROUTES = [
  // Each of its messages has a scope of its own.
  { name: 'upgrade', methods: ['GET'], path: '/ws', scope: 'known', listeners: CALLERS },
  { name: 'postJob', methods: ['POST'], path: '/jobs', scope: 'submit', listeners: CALLERS },
  { name: 'postBatch', methods: ['POST'], path: '/jobs/batch', scope: 'submit',
    listeners: CALLERS },
  { name: 'getJob', methods: ['GET'], path: '/jobs/:id', scope: 'read', listeners: CALLERS },
  { name: 'deleteJob', methods: ['DELETE'], path: '/jobs/:id', scope: 'read', listeners: CALLERS },
  { name: 'streamJob', methods: ['GET'], path: '/jobs/:id/stream', scope: 'read',
    listeners: CALLERS },
  // Strangers get the status alone.
  { name: 'health', methods: ['GET', 'HEAD'], path: '/health', scope: 'open',
    listeners: EVERYONE },
  { name: 'ready', methods: ['GET', 'HEAD'], path: '/ready', scope: 'open', listeners: EVERYONE },
  // Everything that matches no other route.
  { name: 'other', methods: [], path: '/*', scope: 'known', listeners: EVERYONE },
] as const satisfies readonly Route[]

/** The routes of plain HTTP requests, and the WebSocket upgrade. */
export type RouteName = (typeof ROUTES)[number]['name']
export type HttpRouteName = Exclude<RouteName, 'upgrade'>

/** The routes of a kind of listener. */
export const routesOf = (kind: ListenerKind): ReadonlyArray<Route & { readonly name: RouteName }> =>
  ROUTES.filter(({ listeners }: Route) => listeners.includes(kind))

/** The entry of a route. */
export const routeOf = (name: RouteName): Route =>
  ROUTES.find((route) => route.name === name) as Route

/** What a request of a route is for. */
export function askedOf(name: RouteName): Asked & Pick<Route, 'methods'> {
  const { methods, scope } = routeOf(name)
  // An upgrade is a GET, but what comes over the socket writes.
  const isWrite = name === 'upgrade' || methods.includes('POST') || methods.includes('DELETE')
  return { methods, scope, isWrite }
}

/** `/jobs/:id` → `^/jobs/[^/]+$` */
const expressionOf = (path: string): RegExp => new RegExp(`^${path.replaceAll(/:\w+/g, '[^/]+')}$`)

/** What the Allow header says of each path, in the order of the table: the first match counts. */
const allowTable = (kind: ListenerKind): ReadonlyArray<readonly [path: RegExp, allow: string]> => {
  const methods = new Map<string, Method[]>()
  for (const { methods: some, path } of routesOf(kind)) {
    if (some.length > 0) methods.set(path, [...methods.get(path) ?? [], ...some])
  }
  return [...methods].map(([path, all]) => [expressionOf(path), all.join(', ')])
}

const ALLOW = byKind(allowTable)

/** The Allow header of a path of a listener, or undefined for an unknown path. */
export const allowedMethods = (kind: ListenerKind, path: string): string | undefined =>
  ALLOW[kind].find(([expression]) => expression.test(path))?.[1]
