// What keeps web pages away from a server that asks for no key: a browser sends what a page wants
// to any address, this machine's included, but it says for which host and for which page.
//
// Host: a page whose own name was made to resolve to this machine (DNS rebinding) is, for the
// browser, of the same origin as the server; only Host gives it away.
// Origin: sent with every request that writes, and with every WebSocket upgrade.

const LOOPBACK_V4 = /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/

/** Hosts that a request to an unlocked server may be for. */
export class LocalHosts {
  readonly #names: ReadonlySet<string>
  /** The last Host that was allowed: nearly all requests have the same. */
  #last: string | undefined

  /** @param names further host names, in any case. */
  constructor(names: readonly string[]) {
    this.#names = new Set(names.map((name) => name.toLowerCase()))
  }

  /** @param host a Host header: a name or an address, and a port or not. */
  allows(host: string): boolean {
    if (host === this.#last) return true
    if (!this.#isLocal(nameOf(host))) return false
    this.#last = host
    return true
  }

  #isLocal(name: string): boolean {
    return name === 'localhost' || name.endsWith('.localhost') || name === '[::1]' ||
      LOOPBACK_V4.test(name) || this.#names.has(name)
  }
}

const HOST = /^(\[[^\]]*\]|[^:[\]@]*?)\.?(?::\d*)?$/

/** The name in a Host header: `a.example.:80` → `a.example`, `[::1]:80` → `[::1]`; '' for none. */
const nameOf = (host: string): string => HOST.exec(host.toLowerCase())?.[1] ?? ''

/**
 * Whether a request comes from a page of the host that it is for, or from no page: browsers send
 * the page's origin with all that writes, other clients send none.
 */
export const isSameOrigin = (origin: string, host: string): boolean =>
  origin === '' || URL.parse(origin)?.host === host.toLowerCase()
