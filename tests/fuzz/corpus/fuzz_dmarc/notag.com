mail.notag.com
notag.com
notag.com,x.org
v=DMARC1; p=reject; hello
