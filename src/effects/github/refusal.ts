/**
 * What a refusal of GitHub's, or of something in between, means. Pure: from an answer to a code and
 * a remedy.
 */
import { Fault } from '../../support/fault.ts';

type Refusal = {
  status: number;
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: string;
  host: string;
  hasToken: boolean;
};

/**
 * An answer that is neither success, nor 404, nor a limit. Each kind of 403 has a remedy of its
 * own.
 */
export function refusalFault({ status, headers, body, host, hasToken }: Refusal): Fault {
  const message = messageOf(body);
  const quoted = message === null ? '' : `: ${message}`;
  if (status === 401)
    return new Fault(
      'TOKEN_REJECTED',
      `${host} rejected the token (401): it is wrong, expired or revoked. Set a new UPDATE_GH_TOKEN`,
    );
  if (status === 407) return proxyAuthFault(host);
  if (
    status === 451 ||
    (status === 403 && /access blocked|DMCA|terms of service/i.test(message ?? ''))
  )
    return new Fault(
      'REPOSITORY_BLOCKED',
      `${host} has blocked this repository (${status}${quoted}): its owner has to resolve that with GitHub. The running version stays`,
    );
  if (status === 403) return forbidden({ headers, host, hasToken, message, quoted });
  if (status === 511)
    return new Fault(
      'NETWORK_LOGIN',
      `the network requires a login before it connects to ${host} (511): log in on its page, or use a network without one`,
    );
  if (status >= 500)
    return new Fault(
      'SERVER_FAILED',
      `${host} failed (${status}): probably temporary; retrying at the next check`,
    );
  return new Fault(
    'ANSWER_UNEXPECTED',
    `${host} answered ${status}${quoted}: check UPDATE_GH_API_URL`,
  );
}

type Forbidden = Pick<Refusal, 'headers' | 'host' | 'hasToken'> & {
  message: string | null;
  quoted: string;
};

function forbidden({ headers, host, hasToken, message, quoted }: Forbidden): Fault {
  if (headers['x-github-sso'] !== undefined || /\bSAML\b|single sign-on/i.test(message ?? ''))
    return new Fault(
      'SSO_REQUIRED',
      `${host} refused the token (403): the organization enforces single sign-on, and the token is not authorized for it. In GitHub's settings of the token choose "Configure SSO", or set another UPDATE_GH_TOKEN`,
    );
  if (/IP (?:address )?allow ?list/i.test(message ?? ''))
    return new Fault(
      'IP_NOT_ALLOWED',
      `${host} refused this address (403): the organization has an IP allow list. Have this machine's public address added, or use a proxy that is on it (HTTPS_PROXY)`,
    );
  if (message === null)
    return new Fault(
      'PROXY_BLOCKED',
      `403 for ${host}, with a page that is not GitHub's: probably a proxy or firewall blocks the address. Have ${host} allowed there, or set HTTPS_PROXY or NO_PROXY`,
    );
  if (/forbids access via|access restrictions|token's lifetime/i.test(message))
    return new Fault(
      'TOKEN_KIND_REFUSED',
      `${host} refused the token (403${quoted}): the organization does not accept a token of this kind. Set UPDATE_GH_TOKEN to one that it accepts; a short-lived fine-grained one, as a rule`,
    );
  if (/login attempts exceeded|account was suspended/i.test(message))
    return new Fault(
      'TOKEN_REJECTED',
      `${host} rejected the token (403${quoted}). Set UPDATE_GH_TOKEN to a valid token of another or a restored account`,
    );
  const remedy = hasToken
    ? 'check that UPDATE_GH_TOKEN may read the repository (Contents: read)'
    : 'set UPDATE_GH_TOKEN';
  return new Fault('ACCESS_REFUSED', `${host} refused access (403${quoted}): ${remedy}`);
}

export function proxyAuthFault(host: string): Fault {
  return new Fault(
    'PROXY_AUTH',
    `the proxy requires a user name and a password to connect to ${host} (407): set them in HTTPS_PROXY, as http://user:password@proxy:3128, or correct them`,
  );
}

/** GitHub's own words, bounded and printable; null for what is not JSON of GitHub's kind. */
export function messageOf(body: string): string | null {
  try {
    const { message } = JSON.parse(body) as { message?: unknown };
    return typeof message === 'string' ? message.replace(/\p{C}/gu, ' ').slice(0, 300) : null;
  } catch {
    return null;
  }
}
