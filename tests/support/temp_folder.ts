/** A folder of its own for one test, gone afterwards. */
export class TempFolder implements Disposable {
  readonly path = Deno.makeTempDirSync({ prefix: "ilagent-test-" });

  file(name: string): string {
    return `${this.path}/${name}`;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}
