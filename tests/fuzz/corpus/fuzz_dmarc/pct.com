mail.pct.com
pct.com
pct.com,x.org
v=DMARC1; p=reject; pct=20
