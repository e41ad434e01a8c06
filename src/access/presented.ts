// The parts of a request that say who asks, and from where; read once, with its other headers.

/** Header values, '' for those that are absent. */
export interface Presented {
  readonly host: string
  readonly origin: string
  readonly sluiceKey: string
  readonly authorization: string
  readonly apiKey: string
  /** One of the three is there more than once, with different values. */
  readonly isAmbiguous: boolean
  /** See peer-proof.ts. */
  readonly peer: string
}
