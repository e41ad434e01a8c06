// Why a host name has no address, in the form that a socket expects from its `lookup`.
// Thread: shard. Memory: none.
// Never: thrown; it is passed to a callback.

/** The codes are those of getaddrinfo. */
export class NameError extends Error {
  override name = 'NameError'
  /** ENOTFOUND: the name servers answer that there is none. EAI_AGAIN: no answer. */
  readonly code: 'ENOTFOUND' | 'EAI_AGAIN'

  constructor(code: 'ENOTFOUND' | 'EAI_AGAIN', message: string) {
    super(message)
    this.code = code
  }
}

/** The name servers answered that the name has no address. */
export const noAddress = (message: string): NameError => new NameError('ENOTFOUND', message)

/** There was no answer. */
export const noAnswer = (message: string): NameError => new NameError('EAI_AGAIN', message)
