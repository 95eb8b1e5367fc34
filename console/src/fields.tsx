import { text } from "./format";
import type { Event } from "./types";

/** Every field of an event; with pick, a click on a value looks for it. */
export function Fields({ of, pick }: { of: Event; pick?: (field: string, value: string) => void }) {
  return (
    <table class="fields">
      <tbody>
        {Object.keys(of)
          .filter((name) => of[name] !== "")
          .sort()
          .map((name) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>
                {pick && !name.startsWith("_") ? (
                  <button type="button" class="value" title={`Look for ${name} with this value`} onClick={() => pick(name, Array.isArray(of[name]) ? "" : String(of[name]))}>
                    {text(of[name])}
                  </button>
                ) : (
                  text(of[name])
                )}
              </td>
            </tr>
          ))}
      </tbody>
    </table>
  );
}
