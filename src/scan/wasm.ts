// What is used of WebAssembly. Every Node has it; TypeScript declares it for browsers only.

/** Pages of a memory that grows; growing it makes a new buffer, and the old one empty. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer
  grow(pages: number): number
}

/** The library. */
interface WasmLibrary {
  readonly Memory: new (size: { readonly initial: number }) => WasmMemory
  readonly Module: new (code: Uint8Array) => object
  readonly Instance: new (
    module: object, imports: Readonly<Record<string, Readonly<Record<string, object>>>>,
  ) => { readonly exports: Readonly<Record<string, unknown>> }
}

export const WASM_PAGE_BYTES = 65_536

export const { Instance, Memory, Module } =
  (globalThis as unknown as { readonly WebAssembly: WasmLibrary }).WebAssembly
