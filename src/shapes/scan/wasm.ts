// Types for the part of WebAssembly that is used. TypeScript declares it for browsers only.

interface WasmMemory {
  readonly buffer: ArrayBuffer
}

/** The global WebAssembly object. */
interface WasmLibrary {
  /** Size in pages of zeros, which the system provides when they are first written. */
  readonly Memory: new (size: { readonly initial: number }) => WasmMemory
  readonly Module: new (code: Uint8Array) => object
  readonly Instance: new (
    module: object, imports: Readonly<Record<string, Readonly<Record<string, object>>>>,
  ) => { readonly exports: Readonly<Record<string, unknown>> }
}

export const WASM_PAGE_BYTES = 65_536

export const { Instance, Memory, Module } =
  (globalThis as unknown as { readonly WebAssembly: WasmLibrary }).WebAssembly
