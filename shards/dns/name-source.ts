// The resolver's source of answers: name servers (dns-source.ts), or the system (system-source.ts).
// Thread: shard. Memory: none of its own.
// Never: caches an answer, or knows who needs it.

/** The result of a look-up. */
export type NameAnswer =
  /** `ttlMs`: the TTL of the addresses according to their source. */
  | { readonly kind: 'found'; readonly addresses: readonly string[]; readonly ttlMs: number }
  /** There is no such name, or it has no address; `detail` says which. */
  | { readonly kind: 'none'; readonly detail: string }
  /** There was no answer. */
  | { readonly kind: 'failed'; readonly detail: string }

/** Where names are looked up. */
export interface NameSource {
  /** The name's addresses if they are known without a query; otherwise undefined. */
  known(name: string): readonly string[] | undefined
  /**
   * Starts a query. `done` is called once, after this has returned, unless the returned function
   * was called before, which cancels the query and may be called at any time.
   */
  ask(name: string, done: (answer: NameAnswer) => void): () => void
}
