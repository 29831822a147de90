/** GitHub's feed of releases, in the shape in which feeds of its site were seen. */

type Entry = { tag: string; publishedAt: string; body: string };

export function feedOf(releases: readonly Entry[], site: string, repositoryId: number): string {
  const entries = releases.map(
    ({ tag, publishedAt, body }) => `
  <entry>
    <id>tag:github.com,2008:Repository/${repositoryId}/${escaped(tag)}</id>
    <updated>${publishedAt.replace(/\.\d+Z$/, 'Z')}</updated>
    <link rel="alternate" type="text/html" href="${site}/releases/tag/${encodeURIComponent(tag)}"/>
    <title>${escaped(tag)}</title>
    <content type="html">${escaped(`<p>${body}</p>`)}</content>
    <author>
      <name>acme-bot</name>
    </author>
    <media:thumbnail height="30" width="30" url="https://avatars.githubusercontent.com/u/1?s=60&amp;v=4"/>
  </entry>`,
  );
  return `<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:media="http://search.yahoo.com/mrss/" xml:lang="en-US">
  <id>tag:github.com,2008:${site}/releases</id>
  <link type="text/html" rel="alternate" href="${site}/releases"/>
  <link type="application/atom+xml" rel="self" href="${site}/releases.atom"/>
  <title>Release notes from app</title>
  <updated>${releases[0]?.publishedAt ?? '2026-01-01T00:00:00Z'}</updated>${entries.join('')}
</feed>
`;
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
