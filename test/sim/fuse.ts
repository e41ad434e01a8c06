// Ends a simulated thread between any two of its stores: its typed arrays over the shared memory
// are wrapped so that each store is counted, and a store throws when the fuse has burnt down. From
// then on every store of that thread throws, since whatever still runs of it (a `finally`, a
// `catch`) would not run in a thread that was killed.

import type { ShardViews } from '../../shards/memory/layout.ts'

/** Thrown at the store before which a thread ends. */
export class Death extends Error {
  override name = 'Death'
}

/** The path of an array in views: `jobs.state`; the parts of a list share theirs. */
type ArrayPath<Views> = { [Name in keyof Views & string]: Views[Name] extends ArrayBufferView ? Name
  : Views[Name] extends readonly (infer Part)[] ? `${Name}.${keyof Part & string}`
  : `${Name}.${keyof Views[Name] & string}` }[keyof Views & string]

/** Arrays whose stores decide a change, by their path; `shared` is shared by all shards. */
export const DECISIVE = [
  'jobs.state', 'jobs.location', 'jobs.order', 'jobs.lane', 'jobs.resultWord', 'jobs.timeUs',
  'lanes.flags', 'lanes.nextOrder', 'lanes.baseUs', 'progress', 'givenBack', 'ingress.control',
  'ingress.u32', 'answers.control', 'answers.u32', 'segments.u32', 'segmentState',
  'templates.location', 'templates.references', 'upstreams.inFlight', 'upstreams.switches',
  'shared',
] as const satisfies readonly (ArrayPath<ShardViews> | 'shared')[]

/** The number of stores that a thread has left. */
export class Fuse {
  readonly #only: string | undefined
  #left: number

  /** @param only the array whose stores count; by default all. */
  constructor(stores: number, only?: string) {
    this.#left = stores
    this.#only = only
  }

  step(name: string): void {
    if (this.#left <= 0) throw new Death()
    if (this.#only !== undefined && this.#only !== name) return
    if (--this.#left <= 0) throw new Death()
  }
}

let burning: Fuse | undefined

/** Runs something in the thread of this fuse; undefined for a thread that is not to end. */
export function burn<T>(fuse: Fuse | undefined, run: () => T): T {
  const outer = burning
  burning = fuse
  try {
    return run()
  } finally {
    burning = outer
  }
}

/** The arrays behind the wrapped ones, with their names, for Atomics. */
const arrays = new WeakMap<object, { readonly array: unknown; readonly name: string }>()

/** Methods of typed arrays that store. */
const STORING: ReadonlySet<PropertyKey> = new Set(['fill', 'set', 'copyWithin'])

const counting = (path: string): ProxyHandler<object> => ({
  get: (array, name) => {
    const value: unknown = Reflect.get(array, name, array)
    if (typeof value !== 'function') return value
    const method = value.bind(array) as (...values: unknown[]) => unknown
    if (!STORING.has(name)) return method
    return (...values: unknown[]) => {
      burning?.step(path)
      return method(...values)
    }
  },
  set: (array, name, value) => {
    burning?.step(path)
    return Reflect.set(array, name, value, array)
  },
})

/** The same object with every typed array in it wrapped, except buffers of bytes. */
export function countStores<T extends object>(views: T): T {
  const wrap = (value: unknown, path: string): unknown => {
    if (Buffer.isBuffer(value) || value instanceof SharedArrayBuffer) return value
    if (ArrayBuffer.isView(value)) {
      const wrapped = new Proxy(value, counting(path))
      arrays.set(wrapped, { array: value, name: path })
      return wrapped
    }
    if (Array.isArray(value)) return value.map((part) => wrap(part, path))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(
      ([name, part]) => [name, wrap(part, path === '' ? name : `${path}.${name}`)]))
  }
  return wrap(views, '') as T
}

const STORES = ['store', 'add', 'sub', 'exchange', 'compareExchange'] as const
const LOADS = ['load', 'notify'] as const

/** Makes this process's Atomics count, and accept wrapped arrays; call it once. */
function countAtomics(): void {
  const atomics = Atomics as unknown as Record<string, (...values: unknown[]) => unknown>
  for (const name of [...STORES, ...LOADS]) {
    const plain = atomics[name] as (...values: unknown[]) => unknown
    const isStore = (STORES as readonly string[]).includes(name)
    atomics[name] = (given: unknown, ...values: unknown[]) => {
      const known = arrays.get(given as object)
      if (isStore) burning?.step(known?.name ?? 'shared')
      return plain(known?.array ?? given, ...values)
    }
  }
}

countAtomics()
