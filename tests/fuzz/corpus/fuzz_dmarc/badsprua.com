mail.badsprua.com
badsprua.com
badsprua.com,x.org
v=DMARC1; p=reject; sp=maybe; rua=mailto:reports@badsprua.com
