mail.among.com
among.com
among.com,x.org
hello
