#!/usr/bin/env python3
"""Makes what follows from behaviours.toml: docs/deploy/generate.py write | check | nginx

write: into the CloudFormation template and docs/aws.md, between the lines that say so. check: fails if that would change anything.
nginx: prints the same behaviours for an nginx in CloudFront's role, whose upstream is called "origin" and whose cache "edge".
"""

import pathlib
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
TABLE = tomllib.loads((HERE / "behaviours.toml").read_text())


def template():
    """The cache behaviours of the distribution. The star covers slash arguments; a query string is no part of a pattern."""
    for row in TABLE["cached"]:
        methods = "GET, HEAD, OPTIONS, PUT, PATCH, POST, DELETE" if row.get("methods") == "all" else "GET, HEAD"
        yield f"""\
          - PathPattern: {row["path"]}*
            TargetOriginId: site
            ViewerProtocolPolicy: redirect-to-https
            AllowedMethods: [{methods}]
            Compress: true
            CachePolicyId: !Ref CachedByUrl
            OriginRequestPolicyId: !Ref HostOnly
"""


def table(kind):
    yield "| path | why |\n|---|---|\n"
    for row in TABLE[kind]:
        yield f"| `{row['path']}` | {row['why']} |\n"


def nginx():
    for row in TABLE["cached"]:
        yield f"""\
location ^~ {row["path"]} {{
    proxy_pass http://origin;
    proxy_cache edge;
    proxy_cache_key $host$request_uri;
    proxy_cache_methods GET HEAD;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header Cookie "";
    # Unlike nginx, CloudFront keeps an answer with a cookie, so this proxy must, too.
    proxy_ignore_headers Set-Cookie Vary;
    add_header X-Cache $upstream_cache_status always;
}}
"""


def inserted(path, parts):
    """A file with new text between its marks."""
    text = path.read_text()
    for name, lines in parts.items():
        comment = ("# ", "\n") if path.suffix == ".yaml" else ("<!-- ", " -->\n")
        begin, end = (f"{comment[0]}{word} {name} (docs/deploy/generate.py){comment[1]}" for word in ("begin", "end"))
        before, rest = text.split(begin)
        indent = before[before.rfind("\n") + 1 :]
        text = before + begin + "".join(lines) + indent + end + rest.split(end)[1]
    return text


def main(task):
    if task == "nginx":
        sys.stdout.writelines(nginx())
        return 0
    status = 0
    for path, parts in {
        HERE / "aws/moodle.yaml": {"behaviours": template()},
        HERE.parent / "aws.md": {"cached": table("cached"), "private": table("private")},
    }.items():
        text = inserted(path, parts)
        if task == "write":
            path.write_text(text)
        elif text != path.read_text():
            print(f"{path} does not fit behaviours.toml: run docs/deploy/generate.py write", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    if sys.argv[1:] not in (["write"], ["check"], ["nginx"]):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
