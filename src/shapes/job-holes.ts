// Where a submitted job's key and body lie among its bytes. Everything around the two holes is the
// job's shape (shapes.ts), which the jobs of one caller have alike.

const NOTHING = Buffer.alloc(0)

/** The holes of one job; one object is reused from job to job. */
export class JobHoles {
  /** Of all bytes outside of the holes; int32. */
  hash = 0
  /** Of a text: the key's hole is the first, or the only one. */
  isKeyFirst = true
  /** What is around the holes of a text: 0 … firstTo, secondFrom … secondTo, thirdFrom … */
  firstTo = 0
  secondFrom = 0
  secondTo = 0
  thirdFrom = 0
  /** The hole, and inside of it the key's own bytes: plain ASCII. */
  keyFrom = 0
  keyStart = 0
  keyEnd = 0
  keyTo = 0
  /** The body's hole, where `hasBody`. */
  bodyFrom = 0
  bodyTo = 0
  hasBody = false
  /** The body itself: bytes bodyStart … bodyEnd of `body`, valid until another job is looked at. */
  body: Buffer = NOTHING
  bodyStart = 0
  bodyEnd = 0
  /** The body has nothing beyond ASCII, so it need not be checked to be UTF-8. */
  isAscii = true

  get bodyBytes(): number {
    return this.bodyEnd - this.bodyStart
  }

  setKey(from: number, start: number, end: number, to: number): void {
    this.keyFrom = from
    this.keyStart = start
    this.keyEnd = end
    this.keyTo = to
  }

  /** Sets what is around the holes of a text; false when one of them lies in the other. */
  setAround(textBytes: number): boolean {
    const { bodyFrom, bodyTo, keyFrom, keyTo } = this
    const isKeyFirst = !this.hasBody || keyTo <= bodyFrom
    if (!isKeyFirst && bodyTo > keyFrom) return false
    this.isKeyFirst = isKeyFirst
    this.firstTo = isKeyFirst ? keyFrom : bodyFrom
    this.secondFrom = isKeyFirst ? keyTo : bodyTo
    this.secondTo = !this.hasBody ? textBytes : isKeyFirst ? bodyFrom : keyFrom
    this.thirdFrom = !this.hasBody ? textBytes : isKeyFirst ? bodyTo : keyTo
    return true
  }

  /** Of a text, without what is in the holes. @param textBytes of all of it. */
  bytesAround(textBytes: number): number {
    return this.firstTo + this.secondTo - this.secondFrom + textBytes - this.thirdFrom
  }

  setNoBody(): void {
    this.bodyStart = 0
    this.bodyEnd = 0
    this.hasBody = false
    this.isAscii = true
    this.body = NOTHING
  }

  /** The hole; setText() says what is in it. */
  setBody(from: number, to: number): void {
    this.hasBody = true
    this.bodyFrom = from
    this.bodyTo = to
  }

  setText(body: Buffer, start: number, end: number, isAscii: boolean): void {
    this.body = body
    this.bodyStart = start
    this.bodyEnd = end
    this.isAscii = isAscii
  }
}
