// A table of items and what they cost, with the sum.

import { Typed } from "./Control";
import { type Field, type Row, type Value, amount, cents, sum } from "./form";

const ROWS_MAX = 40;

interface Props {
  field: Field;
  value: Value;
  change: (rows: Row[]) => void;
  describedBy: string;
  isInvalid: boolean;
}

const centsText = (value: number | string) => (value === 0 ? "" : typeof value === "number" ? amount(value) : value);

export function MoneyTable({ field, value, change, describedBy, isInvalid }: Props) {
  const rows = Array.isArray(value) ? value : [];
  const total = sum(rows);
  const set = (at: number, news: Partial<Row>) => change(rows.map((row, index) => (index === at ? { ...row, ...news } : row)));
  const isFull = rows.length >= (field.rows_max ?? ROWS_MAX);
  return (
    <div className="money" role="group" aria-label={field.label} aria-describedby={describedBy} data-invalid={isInvalid || undefined}>
      {rows.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Item</th>
              <th scope="col" className="amount">
                Amount in $
              </th>
              <td />
            </tr>
          </thead>
          <tbody>
            {rows.map((row, at) => (
              // Rows have no name but their place.
              <tr key={at}>
                <td>
                  <input aria-label={`Item ${at + 1}`} value={row.item} onChange={(event) => set(at, { item: event.target.value })} />
                </td>
                <td className="amount">
                  <Typed
                    aria-label={`Amount ${at + 1}`}
                    inputMode="decimal"
                    placeholder="0.00"
                    value={row.cents}
                    format={centsText}
                    parse={cents}
                    change={(cents) => set(at, { cents })}
                  />
                </td>
                <td>
                  <button className="plain remove" aria-label={`Remove item ${at + 1}`} onClick={() => change(rows.filter((_, index) => index !== at))}>
                    ×
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
          <tfoot>
            <tr>
              <th scope="row">Sum</th>
              <td className="amount" data-test="sum">
                {total === undefined ? "–" : amount(total)}
              </td>
              <td />
            </tr>
          </tfoot>
        </table>
      )}
      <button id={field.id} onClick={() => change([...rows, { item: "", cents: 0 }])} disabled={isFull}>
        Add an item
      </button>
    </div>
  );
}
