mail.sspf.com
sspf.com
sspf.com,x.org
v=DMARC1; p=reject; aspf=s
