mail.relaxed.com
relaxed.com
relaxed.com,x.org
v=DMARC1; p=reject; aspf=r; adkim=r
