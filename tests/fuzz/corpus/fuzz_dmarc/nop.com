mail.nop.com
nop.com
nop.com,x.org
v=DMARC1; sp=reject
