import { text } from "./format";
import { Shown } from "./ui";
import type { Event } from "./types";

/** Every field of an event; with pick, a click on a value looks for it. */
export function Fields({ of, pick }: { of: Event; pick?: (field: string, value: string) => void }) {
  const shown = Object.keys(of)
    .filter((name) => of[name] !== "")
    .sort();
  return (
    <table class="fields">
      <tbody>
        {shown.map((name) => (
          <tr key={name}>
            <th scope="row">
              <Shown of={name} />
            </th>
            <td>
              {pick && !name.startsWith("_") && !Array.isArray(of[name]) ? (
                <button type="button" class="value" title="Look for this value" onClick={() => pick(name, String(of[name]))}>
                  <Shown of={text(of[name])} />
                </button>
              ) : (
                <Shown of={text(of[name])} />
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
