// Nobody is signed in, or no longer.

import type { Session } from "./api";
import { FORM } from "./form";
import { InvitationForm } from "./InvitationForm";

export const DEMO_CODES = ["ohio-demo", "oregon-demo", "texas-demo", "vermont-demo"];

export function SignIn({ isExpired, enter }: { isExpired: boolean; enter: (session: Session) => void }) {
  return (
    <main className="narrow">
      <p className="over">{FORM.title}</p>
      <h1>Write it together</h1>
      <p className="quiet">Each state has one plan. Whoever has its invitation code writes in it, all at the same time.</p>
      {isExpired && (
        <p role="alert" className="notice" data-test="expired">
          Your session has ended. Sign in again with the same name: what you typed is kept here, and saved then.
        </p>
      )}
      <InvitationForm action="Sign in" enter={enter}>
        <p className="hint">
          The codes of the demo:{" "}
          {DEMO_CODES.map((code, at) => (
            <span key={code}>
              {at > 0 && ", "}
              <code>{code}</code>
            </span>
          ))}
          .
        </p>
      </InvitationForm>
    </main>
  );
}
