// What a resolver asks: name servers (dns-source.ts), or the system (system-source.ts).
// Thread: shard. Memory: none of its own.
// Never: keeps an answer, or knows who wants it.

/** What became of a name. */
export type NameAnswer =
  /** `ttlMs`: how long the addresses hold, as their source says. */
  | { readonly kind: 'found'; readonly addresses: readonly string[]; readonly ttlMs: number }
  /** There is no such name, or it has no address; `detail` says which. */
  | { readonly kind: 'none'; readonly detail: string }
  /** Nobody could say. */
  | { readonly kind: 'failed'; readonly detail: string }

/** Where names are looked up. */
export interface NameSource {
  /** The name's addresses where nobody has to be asked, or undefined. */
  known(name: string): readonly string[] | undefined
  /**
   * Asks; `done` is called once, after this has returned, unless the function that it returns is
   * called before. That may be called at any time.
   */
  ask(name: string, done: (answer: NameAnswer) => void): () => void
}
