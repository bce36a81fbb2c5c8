mail.deep.plain.com
deep.plain.com
deep.plain.com,x.org
v=spf1 -all
